"""Whose request it is: trusted proxies are believed as far as they go, nobody else ever is."""

import ipaddress
from collections.abc import Mapping

import pytest

from provider.admission.clients import MAX_HOPS, Clients, parse_address
from provider.admission.config import AdmissionConfig, ForwardedHeader

PROXY, OTHER_PROXY, STRANGER, VICTIM = "10.0.0.1", "10.0.0.2", "8.8.8.8", "9.9.9.9"


def clients(*, header: ForwardedHeader = "X-Forwarded-For", limit_private: bool = False) -> Clients:
    return Clients(
        AdmissionConfig(
            trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
            client_address_header=header,
            limit_private_clients=limit_private,
        )
    )


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def told(value: str) -> Mapping[str, str]:
    return {"X-Forwarded-For": value}


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-Ip"])
def test_a_stranger_cannot_say_that_he_is_somebody_else(name: str) -> None:
    assert clients().of_request(STRANGER, {name: VICTIM}) == packed(STRANGER)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (STRANGER, STRANGER),
        (f"{VICTIM}, {STRANGER}", STRANGER),
        (f"{VICTIM}, {STRANGER}, {OTHER_PROXY}", STRANGER),
        (f"{VICTIM},{STRANGER}:5678", STRANGER),
        (f"nonsense, {STRANGER}", STRANGER),
    ],
)
def test_behind_proxies_the_client_is_the_last_hop_that_is_none(value: str, client: str) -> None:
    assert clients().of_request(PROXY, told(value)) == packed(client)


@pytest.mark.parametrize("value", ["", "unknown", f"{VICTIM}, unknown", f"{VICTIM}, {'1' * 100}", OTHER_PROXY])
def test_what_a_proxy_cannot_tell_counts_for_nobody(value: str) -> None:
    assert clients().of_request(PROXY, told(value)) is None


def test_only_the_named_header_is_read() -> None:
    both = {"X-Forwarded-For": STRANGER, "Forwarded": f"for={VICTIM}"}
    assert clients().of_request(PROXY, both) == packed(STRANGER)
    assert clients(header="Forwarded").of_request(PROXY, both) == packed(VICTIM)


@pytest.mark.parametrize(
    "value",
    [
        f"for={STRANGER}",
        f"For={STRANGER};proto=https;by={PROXY}",
        f'for="{STRANGER}:4711"',
        f"for={VICTIM}, for={STRANGER}, proto=https;for={OTHER_PROXY}",
        f'for="broken, for={STRANGER}',
    ],
)
def test_forwarded_is_read_as_its_rfc_says(value: str) -> None:
    assert clients(header="Forwarded").of_request(PROXY, {"Forwarded": value}) == packed(STRANGER)


def test_an_ipv6_client_is_its_64() -> None:
    judged = clients()
    first = judged.of_peer("2a00:1450:4001:80b::200e")
    assert first == judged.of_peer("2a00:1450:4001:80b:ffff::1")
    assert first != judged.of_peer("2a00:1450:4001:80c::200e")
    forwarded = {"Forwarded": 'for="[2a00:1450:4001:80b::200e]:4711"'}
    assert clients(header="Forwarded").of_request(PROXY, forwarded) == first


def test_ipv4_inside_ipv6_is_ipv4() -> None:
    assert clients().of_peer(f"::ffff:{STRANGER}") == packed(STRANGER)
    assert clients().of_request(f"::ffff:{PROXY}", told(STRANGER)) == packed(STRANGER)


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.1.1", "::1", "fe80::1%eth0", "0.0.0.0"])
def test_private_addresses_count_only_when_asked_to(address: str) -> None:
    assert clients().of_peer(address) is None
    assert clients(limit_private=True).of_peer(address) is not None


def test_endless_chains_are_not_followed() -> None:
    value = ", ".join([STRANGER, *[OTHER_PROXY] * (MAX_HOPS * 100)])
    assert clients().of_request(PROXY, told(value)) is None


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[::1", "::g", "256.1.1.1"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) in (None, ipaddress.ip_address("::1"))
