"""Settings of admission: proxies as operators write them, and faults that are named."""

from ipaddress import ip_network

import pytest

from provider.config import SettingsError
from provider.config.load import load_settings
from tests.unit.config.test_settings import SINGLE


@pytest.mark.parametrize("text", ["10.0.0.0/8, ::1", '["10.0.0.0/8", "::1"]'])
def test_proxies_are_a_list_of_networks(text: str) -> None:
    found = load_settings({**SINGLE, "TRUSTED_PROXIES": text}).admission.trusted_proxies
    assert found == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "[1]", "*", "10.0.0.1,,10.0.0.2"])
def test_a_proxy_that_is_no_network_is_a_fault(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**SINGLE, "TRUSTED_PROXIES": text})
    assert caught.value.faults[0].startswith("TRUSTED_PROXIES")


def test_nobody_is_trusted_unless_named() -> None:
    admission = load_settings(SINGLE).admission
    assert admission.trusted_proxies == ()
    assert admission.max_connections == -1
    assert not admission.limit_private_clients


def test_every_limit_can_be_switched_off() -> None:
    names = ("CHEAP_REQUESTS_PER_SECOND", "GUARDED_REQUESTS_PER_SECOND", "PAID_REQUESTS_PER_SECOND", "MAX_CONNECTIONS")
    names += ("MAX_CONNECTIONS_PER_CLIENT", "MAX_STREAMS", "MAX_INSPECTIONS", "OVERLOAD_LAG_SECONDS")
    names += ("CHECKSUM_BYTES_PER_SECOND", "ENCRYPT_BYTES_PER_SECOND", "MAX_BODIES_BYTES")
    admission = load_settings({**SINGLE, **{f"PROVIDER_{name}": "0" for name in names}}).admission
    assert admission.max_connections == admission.max_streams == admission.overload_lag_seconds == 0
    assert admission.cheap.per_second == admission.guarded.per_second == admission.paid.per_second == 0
