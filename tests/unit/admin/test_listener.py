"""Which hosts requests to the admin listener may name."""

import pytest

from provider.admin.listener import is_accepted


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8031", "[::1]:8031", "10.0.0.7", "localhost", "LOCALHOST:8031", "provider:8031", "provider.local",
     "provider.default.svc:8031", "provider.default.svc.cluster.local:8031", "metrics.internal."],
)  # fmt: skip
def test_hosts_that_no_stranger_can_have_are_accepted(host: str) -> None:
    assert is_accepted(host, ())


@pytest.mark.parametrize("host", ["", "attacker.example", "127.0.0.1.attacker.example:8031", "local.example.com"])
def test_other_hosts_may_be_a_strangers(host: str) -> None:
    assert not is_accepted(host, ("provider.example",))


@pytest.mark.parametrize("host", ["provider.example", "Provider.Example:8031", "provider.example."])
def test_hosts_that_settings_name_are_accepted(host: str) -> None:
    assert is_accepted(host, ("provider.example",))
