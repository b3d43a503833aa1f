"""The settings in a backup: what was given, and nothing secret of it."""

from pathlib import Path

from provider.config.plain import plain_settings

KEY = "0x" + "fd" * 32


def test_what_was_given_is_listed_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "provider.toml"
    file.write_text('[rpc]\ntimeout_seconds = 3\n[chains]\nprivate_key = "0x12"\n[sources.main]\npath = "/data"\n')
    environ = {
        "PROVIDER_WORKERS": "2",
        "NETWORK_URL": "https://rpc.example/key",
        "UNIVERSAL_PRIVATE_KEY": KEY,
        # By mistake
        "PROVIDER_PRIVATE_KEY_FILE": KEY,
        "AQUARIUS_URL": "https://me:secret@store.example",
        "OPERATOR_SERVICE_URL": "https://c2d.example/?token=secret",
        "RBAC_SERVER_URL": "https://rbac.example/roles",
        "OTHER": "secret",
    }
    plain, left_out = plain_settings(environ, str(file))
    assert plain["PROVIDER_WORKERS"] == "2"
    assert plain["PROVIDER_RPC_TIMEOUT_SECONDS"] == 3
    assert not {"NETWORK_URL", "PROVIDER_PRIVATE_KEY", "UNIVERSAL_PRIVATE_KEY"} - set(left_out)
    assert not {"PROVIDER_PRIVATE_KEY_FILE", "AQUARIUS_URL", "OPERATOR_SERVICE_URL"} - set(left_out)
    assert KEY not in str(plain)
    assert "secret" not in str(plain)
    assert "/data" not in str(plain)
    assert "OTHER" not in {*plain, *left_out}
