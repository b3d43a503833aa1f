"""Settings of the RBAC and policy servers."""

import pytest

from provider.config import SettingsError
from provider.config.load import load_settings

SINGLE = {
    "NETWORK_URL": "http://127.0.0.1:8545",
    "PROVIDER_PRIVATE_KEY": "0xfd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215",
}


def test_nothing_is_asked_by_default() -> None:
    access = load_settings(SINGLE).access
    assert (access.rbac_url, access.policy_url, access.policy_api_key, access.is_private) == (None, None, None, False)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RBAC_SERVER_URL", "rbac:3000"),
        ("POLICY_SERVER_URL", "ftp://policy"),
        ("POLICY_SERVER_API_KEY", "two\nlines"),
        ("POLICY_SERVER_API_KEY", "k\u00e9y"),
        ("PROVIDER_ACCESS_TIMEOUT_SECONDS", "-7"),
    ],
)
def test_bad_value_is_refused_naming_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**SINGLE, variable: value})
    assert [fault for fault in caught.value.faults if fault.startswith(variable)]
    assert value not in str(caught.value)


def test_urls_and_key_are_not_shown() -> None:
    urls = {"RBAC_SERVER_URL": "http://u:planted@rbac", "POLICY_SERVER_URL": "http://u:planted@policy"}
    assert "planted" not in repr(load_settings({**SINGLE, **urls, "POLICY_SERVER_API_KEY": "planted"}))
