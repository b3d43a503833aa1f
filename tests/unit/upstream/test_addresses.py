"""Names become checked addresses, all or none."""

import socket

import pytest

from provider.errors import NameUnanswered, UnsafeAddress
from provider.upstream.addresses import resolve_checked
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
