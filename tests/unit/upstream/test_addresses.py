"""Names become checked addresses, all or none."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import NameUnanswered, UnsafeAddress
from provider.upstream.addresses import check_address, resolve_checked
from provider.upstream.names import Address, Names

LOOPBACKS = ["127.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "0x7f.1", "localhost"]
V4, V6 = socket.AF_INET, socket.AF_INET6


def answering(*addresses: str):
    async def resolve(host: str, port: int) -> list[Address]:
        return [(V6, (a, port, 0, 0)) if ":" in a else (V4, (a, port)) for a in addresses]

    return resolve


def failing(error: Exception):
    async def resolve(host: str, port: int) -> list[Address]:
        raise error

    return resolve


async def hosts(*addresses: str, allow_private: bool = False) -> list[object]:
    found = await resolve_checked("a.example", 80, allow_private=allow_private, resolver=answering(*addresses))
    return [address[0] for _, address in found]


@pytest.mark.gen_test
async def test_families_take_turns_and_duplicates_go() -> None:
    found = await hosts("2606::1", "2606::2", "2606::1", "1.1.1.1", "1.1.1.2", "1.1.1.3")
    assert found == ["2606::1", "1.1.1.1", "2606::2", "1.1.1.2", "1.1.1.3"]


@pytest.mark.gen_test
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_one_refused_address_refuses_the_name(position: int) -> None:
    addresses = ["1.1.1.1", "2606::1", "8.8.8.8"]
    addresses[position] = "10.0.0.1"
    with pytest.raises(UnsafeAddress) as caught:
        await hosts(*addresses)
    assert "10.0.0.1" not in str(caught.value.detail)


@pytest.mark.gen_test
async def test_private_addresses_can_be_allowed() -> None:
    assert await hosts("127.0.0.1", "fe80::1", allow_private=True) == ["127.0.0.1", "fe80::1"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), UnsafeAddress),
        (socket.gaierror(socket.EAI_AGAIN, "x"), NameUnanswered),
        (UnicodeError("x"), UnsafeAddress),
        (OSError("x"), UnsafeAddress),
    ],
)
async def test_a_name_that_does_not_resolve_is_refused(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        await resolve_checked("a.example", 80, allow_private=True, resolver=failing(error))


@pytest.mark.gen_test
async def test_no_answer_is_no_safe_answer() -> None:
    with pytest.raises(UnsafeAddress):
        await hosts()


@pytest.mark.gen_test
@pytest.mark.parametrize("name", LOOPBACKS)
async def test_every_way_to_write_loopback_is_refused(name: str) -> None:
    with pytest.raises(UnsafeAddress):
        await resolve_checked(name, 80, allow_private=False, resolver=Names())


@pytest.mark.gen_test
async def test_numeric_forms_resolve_without_a_lookup() -> None:
    assert (V4, ("8.8.8.8", 81)) in await Names()("134744072", 81)


ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.114.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    # Teredo: server 65.54.227.120, client 8.8.8.8 inverted.
    "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
]

REFUSED = {
    "0.0.0.0": "RFC 1122",
    "0.1.2.3": "RFC 1122",
    "10.0.0.1": "RFC 1918",
    "10.255.255.255": "RFC 1918",
    "100.64.0.1": "RFC 6598",
    "100.100.100.200": "RFC 6598",
    "100.127.255.255": "RFC 6598",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "Azure",
    "169.254.169.254": "RFC 3927",
    "172.16.0.1": "RFC 1918",
    "172.31.255.255": "RFC 1918",
    "192.0.0.192": "RFC 6890",
    "192.0.2.1": "RFC 5737",
    "192.88.99.1": "RFC 7526",
    "192.168.1.1": "RFC 1918",
    "198.18.0.1": "RFC 2544",
    "198.19.255.255": "RFC 2544",
    "198.51.100.1": "RFC 5737",
    "203.0.113.1": "RFC 5737",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "RFC 919",
    "::": "unspecified",
    "::1": "loopback",
    "::2": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "RFC 1918",
    "::ffff:169.254.169.254": "RFC 3927",
    "::ffff:0:8.8.8.8": "not global unicast",
    "64:ff9b::10.0.0.1": "RFC 1918",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b:1::8.8.8.8": "RFC 8215",
    "100::1": "RFC 6666",
    "2001:2::1": "RFC 2928",
    "2001:10::1": "RFC 2928",
    "2001:20::1": "RFC 2928",
    "2001:db8::1": "RFC 3849",
    "2002:7f00:1::": "loopback",
    "2002:a00:1::1": "RFC 1918",
    "2002:a9fe:a9fe::": "RFC 3927",
    # Teredo: client 127.0.0.1 inverted; then a private server.
    "2001:0:4136:e378:8000:63bf:80ff:fffe": "loopback",
    "2001:0:a00:1:8000:63bf:f7f7:f7f7": "RFC 1918",
    "3ffe::1": "RFC 3701",
    "3fff::1": "RFC 9637",
    "4000::1": "not global unicast",
    "5f00::1": "RFC 9602",
    "fc00::1": "RFC 4193",
    "fd00:ec2::254": "RFC 4193",
    "fe80::1": "link-local",
    "fe80::1%eth0": "scoped",
    "2606:4700::1%1": "scoped",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "": "not an address",
    "localhost": "not an address",
    "0x7f000001": "not an address",
    "2130706433": "not an address",
    "127.1": "not an address",
    "010.0.0.1": "not an address",
}


@pytest.mark.parametrize("address", ALLOWED)
def test_globally_routable_unicast_is_allowed(address: str) -> None:
    assert check_address(address) is None


@pytest.mark.parametrize(("address", "reason"), list(REFUSED.items()), ids=list(REFUSED))
def test_everything_else_is_refused_with_its_reason(address: str, reason: str) -> None:
    found = check_address(address)
    assert found is not None
    assert reason in found


@given(st.ip_addresses(v=4))
def test_what_the_standard_library_calls_private_is_never_allowed(address) -> None:
    if not address.is_global or address.is_multicast:
        assert check_address(str(address)) is not None


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_allowed_only_when_it_is_global(address) -> None:
    if check_address(str(address)) is None and address.sixtofour is None and address.teredo is None:
        assert address.is_global or address.ipv4_mapped is not None
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_as_good_as_the_wrapped_one(address) -> None:
    plain = check_address(str(address))
    assert check_address(f"::ffff:{address}") == plain
    assert check_address(f"64:ff9b::{address}") == plain


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    check_address(text)
