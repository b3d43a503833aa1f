"""Settings: precedence, faults named by variable, keys from three places, nothing secret shown."""

import json
import os
import re
from pathlib import Path

import pytest
from eth_account import Account

from provider.config import SettingsError
from provider.config.load import load_settings
from provider.setting import PerChain

KEY = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
OTHER_KEY = "5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
SINGLE = {"NETWORK_URL": "http://127.0.0.1:8545", "PROVIDER_PRIVATE_KEY": f"0x{KEY}"}
CONF = Path(__file__).parents[3] / "conf" / "provider.toml"


def faults(environ: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, str(config) if config else None)
    return caught.value.faults


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_two_variables_are_enough() -> None:
    settings = load_settings(SINGLE)
    assert settings.chains[0].chain_id is None
    assert settings.chains[0].private_key == KEY
    assert settings.security.universal_key == KEY
    assert (settings.server.listener.host, settings.server.listener.port) == ("0.0.0.0", 8030)
    assert settings.server.admin is not None
    assert settings.server.admin.port == 8031


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    config = write(tmp_path / "p.toml", "[server]\nworkers = 3\n[upstream]\nattempts = 4\n")
    settings = load_settings({**SINGLE, "PROVIDER_WORKERS": "2"}, str(config))
    assert settings.server.workers == 2
    assert settings.upstream.attempts == 4
    assert settings.upstream.max_idle_connections == 256


def test_file_named_by_variable_is_read(tmp_path: Path) -> None:
    config = write(tmp_path / "p.toml", "[log]\nlevel = 'debug'\n")
    assert load_settings({**SINGLE, "PROVIDER_CONFIG_FILE": str(config)}).log.level == "DEBUG"


def test_all_faults_are_listed_together_by_variable() -> None:
    listed = faults(
        {
            "NETWORK_URL": "ftp://node",
            "PROVIDER_PRIVATE_KEY": "zz",
            "OCEAN_PROVIDER_URL": "nonsense",
            "REQUEST_TIMEOUT": "soon",
            "ALLOW_NON_PUBLIC_IP": "perhaps",
            "AUTHORIZED_DECRYPTERS": "[0x1",
            "LOG_LEVEL": "loud",
        }
    )
    named = {fault.split(" ")[0].rstrip(":") for fault in listed}
    assert named >= {
        "PROVIDER_PRIVATE_KEY",
        "OCEAN_PROVIDER_URL",
        "REQUEST_TIMEOUT",
        "ALLOW_NON_PUBLIC_IP",
        "AUTHORIZED_DECRYPTERS",
        "LOG_LEVEL",
    }


def test_required_variables_are_named_when_missing() -> None:
    assert [fault.split(" ")[0] for fault in faults({})] == ["NETWORK_URL", "PROVIDER_PRIVATE_KEY"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("PROVIDER_WORKERS", "0", id="below minimum"),
        pytest.param("PROVIDER_WORKERS", "1.5", id="not whole"),
        pytest.param("REQUEST_TIMEOUT", "nan", id="nan"),
        pytest.param("REQUEST_TIMEOUT", "inf", id="infinite"),
        pytest.param("AQUARIUS_URL", "http://", id="no host"),
        pytest.param("AQUARIUS_URL", "http://[::1", id="broken IPv6"),
        pytest.param("AQUARIUS_URL", "http://host:99999", id="port out of range"),
        pytest.param("AQUARIUS_URL", "http://host/a b", id="space in a URL"),
        pytest.param("AQUARIUS_URL", "http://ho\nst/", id="end of line in a URL"),
        pytest.param("NETWORK_URL", "[" * 100_000, id="nested too deeply"),
        pytest.param("NETWORK_URL", "ws://node:8546", id="WebSocket"),
        pytest.param("NETWORK_URL", '["http://a", 7]', id="endpoint is no text"),
        pytest.param("NETWORK_URL", "[]", id="no endpoint"),
        pytest.param("NETWORK_URL", '{"1": "http://a"}', id="kinds differ"),
        pytest.param("PROVIDER_FEE_TOKEN", "0x12", id="short address"),
        pytest.param("PROVIDER_FEE_TOKEN", '{"1": "0x12"}', id="fee token per chain in single mode"),
        pytest.param("ADDRESS_FILE", "/nonexistent/address.json", id="unreadable file"),
        pytest.param("OCEAN_PROVIDER_URL", "off", id="public listener off"),
        pytest.param("OCEAN_PROVIDER_URL", "http://host", id="no port"),
        pytest.param("AUTHORIZED_DECRYPTERS_LIST", "[]", id="access lists without chains"),
        pytest.param("AUTHORIZED_DECRYPTERS_LIST", '{"x": ["0x' + "11" * 20 + '"]}', id="no chain id"),
        pytest.param("AUTHORIZED_DECRYPTERS_LIST", '{"1": []}', id="chain without an access list"),
        pytest.param("AUTHORIZED_DECRYPTERS_LIST", '{"1": ["0x12"]}', id="short address of an access list"),
        pytest.param("AUTHORIZED_PUBLISHERS", '"0x12"', id="publishers are no list"),
        pytest.param("AUTHORIZED_PUBLISHERS_LIST", "[]", id="access lists of publishers without chains"),
        pytest.param("REDIS_CONNECTION", "http://h", id="scheme of something else"),
        pytest.param("PROVIDER_PRIVATE_KEY", "0" * 64, id="key zero"),
        pytest.param("PROVIDER_PRIVATE_KEY", "f" * 64, id="key above the group order"),
    ],
)
def test_bad_value_is_refused_naming_its_variable(variable: str, value: str) -> None:
    assert any(fault.startswith(variable) for fault in faults({**SINGLE, variable: value}))


def test_fault_of_one_of_several_chains_names_it() -> None:
    listed = faults(
        {
            "NETWORK_URL": '{"1": "http://a", "137": ["http://b", "c"], "10": [], "x": "http://d"}',
            "PROVIDER_PRIVATE_KEY": json.dumps(dict.fromkeys(("1", "137", "10"), KEY)),
            "UNIVERSAL_PRIVATE_KEY": KEY,
        }
    )
    found = [fault.split("): ")[1] for fault in listed if fault.startswith("NETWORK_URL")]
    assert found == [
        "chain 137 endpoint 2 must be an http or https URL",
        "chain 10 names no endpoint",
        "must name each chain by its id, a decimal number such as 137",
    ]


@pytest.mark.parametrize("secret", ["0x" + "4c" * 32, "redis://:hush@host", "hush"])
@pytest.mark.parametrize(
    "variable",
    ["PROVIDER_PRIVATE_KEY_FILE", "PROVIDER_PRIVATE_KEY_PASSWORD_FILE", "REDIS_CONNECTION_FILE"],
)
def test_a_secret_in_the_place_of_its_file_is_not_shown(variable: str, secret: str, tmp_path: Path) -> None:
    keystore = tmp_path / "keystore"
    keystore.write_text("{}")
    more = {"PROVIDER_PRIVATE_KEY_KEYSTORE_FILE": str(keystore)} if "PASSWORD" in variable else {}
    environ = {"NETWORK_URL": "http://a", variable: secret, **more}
    listed = [fault for fault in faults(environ) if fault.startswith(variable)]
    assert len(listed) == 1
    assert secret not in listed[0]
    # A path is told.
    assert any("cannot read /nonexistent" in fault for fault in faults({**environ, variable: "/nonexistent"}))


def test_a_null_byte_in_the_file_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "provider.toml"
    path.write_text('[server]\ntls_cert_file = "a\\u0000b"\ntls_key_file = "a\\u0000b"\n[storage]\npath = "\\u0000"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(SINGLE, str(path))
    assert len(caught.value.faults) == 3


def test_a_misspelt_variable_is_told_beside_the_faults() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**SINGLE, "PROVIDER_TLS_CERTFILE": "x", "PROVIDER_TLS_KEY_FILE": "y"})
    assert [fault.split(" ")[0] for fault in caught.value.faults] == ["PROVIDER_TLS_CERT_FILE"]
    (warning,) = caught.value.warnings
    assert warning.what.endswith("is set but not known to this version; did you mean PROVIDER_TLS_CERT_FILE?")


def test_several_chains_each_with_endpoints_and_key() -> None:
    settings = load_settings(
        {
            "NETWORK_URL": '{"1": ["http://a", "http://b"], "137": "http://c"}',
            "PROVIDER_PRIVATE_KEY": json.dumps({"1": KEY, "137": OTHER_KEY}),
            "UNIVERSAL_PRIVATE_KEY": OTHER_KEY,
            "PROVIDER_FEE_TOKEN": json.dumps({"1": "0x" + "a" * 40, "137": "0x" + "b" * 40}),
        }
    )
    assert [(chain.chain_id, chain.rpc_urls, chain.private_key) for chain in settings.chains] == [
        (1, ("http://a", "http://b"), KEY),
        (137, ("http://c",), OTHER_KEY),
    ]


def test_several_chains_need_a_universal_key() -> None:
    listed = faults({"NETWORK_URL": '{"1": "http://a"}', "PROVIDER_PRIVATE_KEY": json.dumps({"1": KEY})})
    assert any("Must define UNIVERSAL_PRIVATE_KEY or a single PROVIDER_PRIVATE_KEY." in fault for fault in listed)


def test_kinds_of_endpoints_and_keys_must_agree() -> None:
    listed = faults({"NETWORK_URL": "http://a", "PROVIDER_PRIVATE_KEY": json.dumps({"1": KEY})})
    assert any("must both be single or both json encoded" in fault for fault in listed)


def test_chain_without_key_and_key_without_chain_are_faults() -> None:
    listed = faults(
        {
            "NETWORK_URL": '{"1": "http://a"}',
            "PROVIDER_PRIVATE_KEY": json.dumps({"5": KEY}),
            "UNIVERSAL_PRIVATE_KEY": KEY,
        }
    )
    assert any("no usable key for chain 1" in fault for fault in listed)
    assert any("chain 5 is not in NETWORK_URL" in fault for fault in listed)


def test_key_from_file(tmp_path: Path) -> None:
    path = write(tmp_path / "key", f"0x{KEY}\n")
    settings = load_settings({"NETWORK_URL": "http://a", "PROVIDER_PRIVATE_KEY_FILE": str(path)})
    assert settings.chains[0].private_key == KEY


def test_key_from_keystore_with_password_file(tmp_path: Path) -> None:
    keystore = Account.encrypt(f"0x{KEY}", "sesame", kdf="pbkdf2", iterations=2)
    environ = {
        "NETWORK_URL": "http://a",
        "PROVIDER_PRIVATE_KEY_KEYSTORE_FILE": str(write(tmp_path / "keystore", json.dumps(keystore))),
        "PROVIDER_PRIVATE_KEY_PASSWORD_FILE": str(write(tmp_path / "password", "sesame\n")),
    }
    assert load_settings(environ).chains[0].private_key == KEY
    write(tmp_path / "password", "wrong")
    assert any("PROVIDER_PRIVATE_KEY_KEYSTORE_FILE" in fault for fault in faults(environ))


def test_keystore_without_password_names_the_missing_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "keystore", "{}")
    listed = faults({"NETWORK_URL": "http://a", "PROVIDER_PRIVATE_KEY_KEYSTORE_FILE": str(path)})
    assert any(fault.startswith("PROVIDER_PRIVATE_KEY_PASSWORD_FILE") for fault in listed)


def test_two_sources_of_one_key_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "key", OTHER_KEY)
    assert any("not several" in fault for fault in faults({**SINGLE, "PROVIDER_PRIVATE_KEY_FILE": str(path)}))


def test_unknown_key_of_the_file_is_a_fault(tmp_path: Path) -> None:
    config = write(tmp_path / "p.toml", "[server]\nwrokers = 3\n")
    said = "server.wrokers: unknown key in the settings file; did you mean server.workers?"
    assert faults(SINGLE, config) == [said]
    config = write(tmp_path / "p.toml", "[other]\nthing = 3\n")
    assert faults(SINGLE, config) == ["other.thing: unknown key in the settings file"]


@pytest.mark.parametrize("given", ["8996, 1337", "1337,8996,", [8996, 1337]])
def test_idle_chains_are_a_list(given: object, tmp_path: Path) -> None:
    config = write(tmp_path / "p.toml", f"[rpc]\nidle_chains = {json.dumps(given)}\n")
    assert load_settings(SINGLE, str(config)).rpc.idle_chains == {8996, 1337}


@pytest.mark.parametrize("given", ["one", "-1", "1.5", "0", [True], [1.5], ["x"], 5, {"8996": True}])
def test_what_is_no_list_of_chains_is_a_fault(given: object, tmp_path: Path) -> None:
    text = "{ 8996 = true }" if isinstance(given, dict) else json.dumps(given)
    config = write(tmp_path / "p.toml", f"[rpc]\nidle_chains = {text}\n")
    said = "must be chain ids, separated by commas"
    assert faults(SINGLE, config) == [f"PROVIDER_IDLE_CHAINS (file: rpc.idle_chains): {said}"]


def test_broken_file_is_a_fault(tmp_path: Path) -> None:
    assert "not TOML" in faults(SINGLE, write(tmp_path / "p.toml", "[server"))[0]


def test_unknown_variable_of_ours_is_a_warning() -> None:
    warnings = load_settings({**SINGLE, "PROVIDER_DRAIN_TIMEOUT": "3", "PROVIDER_XYZ": "3"}).warnings
    assert [warning.what for warning in warnings] == [
        "PROVIDER_DRAIN_TIMEOUT is set but not known to this version; did you mean PROVIDER_DRAIN_TIMEOUT_SECONDS?",
        "PROVIDER_XYZ is set but not known to this version",
    ]
    assert {warning.remedy for warning in warnings} == {"correct its name, or unset it"}


def test_nothing_secret_is_shown() -> None:
    environ = {**SINGLE, "NETWORK_URL": "http://user:hunter2@node/APIKEY", "AQUARIUS_URL": "http://u:hunter3@aq"}
    shown = repr(load_settings(environ))
    assert KEY not in shown
    assert "hunter" not in shown
    assert "APIKEY" not in shown
    listed = "\n".join(faults({**environ, "NETWORK_URL": "ws://user:hunter2@node/APIKEY", "LOG_LEVEL": "x"}))
    assert "hunter" not in listed
    assert "APIKEY" not in listed


def test_every_example_value_of_the_file_is_accepted(tmp_path: Path) -> None:
    lines = []
    for line in CONF.read_text().splitlines():
        key = re.match(r"# ([a-z_0-9]+) = ", line)
        if key and key[1] not in {"network_url", "address_file"} and "_file" not in key[1]:
            lines.append(line.removeprefix("# "))
        elif line.startswith("["):
            lines.append(line)
    settings = load_settings(SINGLE, str(write(tmp_path / "p.toml", "\n".join(lines))))
    assert settings.cache.ddo_seconds == 60.0
    assert settings.security.authorized_decrypters == {"0xa78deb2fa79463945c247991075e2a0e98ba7a09"}


def test_workers_may_be_one_for_each_core() -> None:
    assert load_settings({**SINGLE, "PROVIDER_WORKERS": "auto"}).server.workers == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("30", (30, {})), ('{"137": 64, "1": "12"}', (12, {137: 64, 1: 12}))],
    ids=["one for all", "one per chain"],
)
def test_finality_is_one_number_or_one_per_chain(value: str, expected: tuple[int, dict[int, int]]) -> None:
    rpc = load_settings({**SINGLE, "PROVIDER_FINALITY_BLOCKS": value}).rpc
    assert rpc.finality_blocks == PerChain(*expected)


@pytest.mark.parametrize("value", ["-1", "deep", '{"x": 1}', '{"1": -1}', '{"1": true}', "[12]"])
def test_finality_that_is_none_is_a_fault(value: str) -> None:
    with pytest.raises(SettingsError, match="PROVIDER_FINALITY_BLOCKS"):
        load_settings({**SINGLE, "PROVIDER_FINALITY_BLOCKS": value})


@pytest.mark.parametrize("variable", ["NETWORK_URL", "PROVIDER_PRIVATE_KEY", "PROVIDER_FEE_TOKEN"])
def test_a_chain_that_is_named_twice_stops_the_start(variable: str) -> None:
    environ = {"NETWORK_URL": '{"1": "http://a"}', "PROVIDER_PRIVATE_KEY": json.dumps({"1": KEY})}
    value = json.loads(environ.get(variable, '{"1": "0x0000000000000000000000000000000000000000"}'))["1"]
    listed = faults({**environ, variable: f'{{"1": "{value}", "1": "{value}"}}'})
    assert "names chain 1 twice" in [fault.split("): ")[1] for fault in listed if fault.startswith(variable)]
    assert KEY not in "".join(listed)


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("a.example", ("a.example",)), ("A.example, b_c", ("a.example", "b_c")), ('["a.b"]', ("a.b",))],
)
def test_names_of_the_admin_listener(text: str, names: tuple[str, ...]) -> None:
    assert load_settings({**SINGLE, "PROVIDER_ADMIN_HOSTS": text}).server.admin_hosts == names


@pytest.mark.parametrize("text", ["a.example:8031", "http://a.example", "a,,b", '{"a": 1}', "[1]", "*"])
def test_what_is_no_name_of_a_host_stops_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="PROVIDER_ADMIN_HOSTS"):
        load_settings({**SINGLE, "PROVIDER_ADMIN_HOSTS": text})


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_key_file_that_every_user_may_read_is_warned_about(tmp_path: Path, mode: int, is_warned: bool) -> None:
    path = tmp_path / "key"
    path.write_text("0x" + "1" * 64)
    path.chmod(mode)
    warnings = load_settings({"NETWORK_URL": "http://a", "PROVIDER_PRIVATE_KEY_FILE": str(path)}).warnings
    assert [warning.remedy for warning in warnings] == [f"chmod o-r {path}"] * is_warned


@pytest.mark.parametrize("variable", ["REDIS_CONNECTION_FILE", "UNIVERSAL_PRIVATE_KEY_FILE"])
def test_other_files_with_secrets_are_looked_at_too(tmp_path: Path, variable: str) -> None:
    path = tmp_path / "secret"
    path.write_text("redis://host" if variable.startswith("REDIS") else "0x" + "2" * 64)
    path.chmod(0o644)
    warnings = load_settings({**SINGLE, variable: str(path)}).warnings
    assert [warning for warning in warnings if warning.what.startswith(f"{variable}: every user")]


@pytest.mark.parametrize("variable", ["NETWORK_URL", "PROVIDER_PRIVATE_KEY"])
def test_broken_json_is_one_fault_that_says_where(variable: str) -> None:
    (fault,) = faults({**SINGLE, variable: '{"1": "hunter2", '})
    assert fault.startswith(variable)
    assert fault.endswith("looks like JSON but cannot be parsed: see line 1, column 17")
