"""Every setting that is yes or no: the words it takes, and that everything else stops the start."""

import pytest

from provider.config.document import declared
from provider.config.load import load_settings
from provider.config.reader import Reader, SettingsError
from provider.setting import Setting
from tests.unit.config.test_access_settings import SINGLE

BOOLEANS = {setting.variable: setting for setting in declared() if isinstance(setting.default, bool)}
EXPECTED = {
    "ALLOW_NON_PUBLIC_IP",
    "ALLOW_UNBOUND_FILES",
    "PRIVATE_PROVIDER",
    "PROVIDER_BESIDE_OCEAN_NODE",
    "PROVIDER_BOOKS",
    "PROVIDER_CONTRACT_ACCOUNTS",
    "PROVIDER_LIMIT_PRIVATE_CLIENTS",
    "PROVIDER_LOG_DATASETS",
    "PROVIDER_METRICS",
    "PROVIDER_QUOTAS_OF_PUBLISHERS",
    "PROVIDER_REDIS_SHARE_FACTS",
    "USE_CHAIN_PROOF",
}


def value(setting: Setting[object], text: str) -> object:
    reader = Reader({setting.variable: text}, {})
    found = reader.value(setting)
    assert reader.faults == []
    return found


def test_these_are_the_booleans() -> None:
    assert BOOLEANS.keys() == EXPECTED


@pytest.mark.parametrize("variable", BOOLEANS)
@pytest.mark.parametrize(
    "text", ["true", "True", "1", "yes", "on", "t", "y", "false", "FALSE", "0", "no", "off", "f", "n"]
)
def test_the_words_for_yes_and_no(variable: str, text: str) -> None:
    assert value(BOOLEANS[variable], text) is (text.lower() in ("true", "1", "yes", "on", "t", "y"))


@pytest.mark.parametrize("variable", BOOLEANS)
@pytest.mark.parametrize("text", ["banana", "2", "-1", "tru", "none", "0x1"])
def test_any_other_word_stops_the_start(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}.*must be true or false"):
        load_settings({**SINGLE, variable: text})


@pytest.mark.parametrize("variable", BOOLEANS)
def test_unset_and_empty_are_the_default(variable: str) -> None:
    assert value(BOOLEANS[variable], "") is BOOLEANS[variable].default
