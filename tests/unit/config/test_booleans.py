"""Every setting that is yes or no: the words it takes, and that everything else stops the start."""

import re
from pathlib import Path

import pytest

import provider.config
from provider.config import SettingsError, load_settings
from tests.unit.config.test_access_settings import SINGLE

READ = re.compile(r'source\.boolean\(\s*"(\w+)", "([\w.]+)", (True|False)')
SOURCES = [path.read_text() for path in Path(provider.settings.__file__).parent.glob("*.py")]
BOOLEANS = sorted(found for text in SOURCES for found in READ.findall(text))
WHERE = {
    "ALLOW_NON_PUBLIC_IP": "upstream.allow_non_public_ip",
    "ALLOW_UNBOUND_FILES": "security.allow_unbound_files",
    "PRIVATE_PROVIDER": "access.is_private",
    "PROVIDER_CONTRACT_ACCOUNTS": "identity.contract_accounts",
    "PROVIDER_LIMIT_PRIVATE_CLIENTS": "admission.limit_private_clients",
    "PROVIDER_METRICS": "observing.metrics",
    "USE_CHAIN_PROOF": "proofs.on_chain",
}


def value(variable: str, text: str) -> object:
    found: object = load_settings({**SINGLE, variable: text})
    for name in WHERE[variable].split("."):
        found = getattr(found, name)
    return found


def test_no_boolean_is_read_in_another_way() -> None:
    assert {variable for variable, _, _ in BOOLEANS} == {*WHERE, "PROVIDER_REDIS_SHARE_FACTS"}
    assert not any("bool(source." in text for text in SOURCES)


@pytest.mark.parametrize("variable", WHERE)
@pytest.mark.parametrize(
    "text", ["true", "True", "1", "yes", "on", "t", "y", "false", "FALSE", "0", "no", "off", "f", "n"]
)
def test_the_words_for_yes_and_no(variable: str, text: str) -> None:
    assert value(variable, text) is (text.lower() in ("true", "1", "yes", "on", "t", "y"))


@pytest.mark.parametrize("variable", [*WHERE, "PROVIDER_REDIS_SHARE_FACTS"])
@pytest.mark.parametrize("text", ["banana", "2", "-1", "tru", "none", "0x1"])
def test_any_other_word_stops_the_start(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}.*must be true or false"):
        load_settings({**SINGLE, variable: text})


@pytest.mark.parametrize(("variable", "key", "default"), BOOLEANS)
def test_unset_and_empty_are_the_default(variable: str, key: str, default: str) -> None:
    if variable in WHERE:
        assert value(variable, "") is (default == "True")
