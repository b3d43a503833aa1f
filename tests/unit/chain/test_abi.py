"""Hand-sliced ABI words against eth_abi, and what they refuse."""

import pytest
from eth_abi import encode
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from provider.chain.abi import AbiError, Words, address_of_word, bytes_of_hex, int_of_hex

addresses = st.binary(min_size=20, max_size=20).map(to_checksum_address)


@given(st.integers(0, 2**256 - 1), addresses, st.booleans(), st.binary(max_size=100), st.text(max_size=50))
def test_values_encoded_by_eth_abi_are_read_back(number: int, address: str, flag: bool, raw: bytes, text: str) -> None:
    words = Words(encode(["uint256", "address", "bool", "bytes", "string"], [number, address, flag, raw, text]))
    assert words.uint(0) == number
    assert words.address(1) == address
    assert words.boolean(2) is flag
    assert words.dynamic(3) == raw
    assert words.dynamic(4).decode() == text


@given(st.binary(max_size=300), st.integers(0, 10))
def test_any_bytes_give_a_value_or_an_abi_error(data: bytes, position: int) -> None:
    words = Words(data)
    for read in (words.word, words.uint, words.boolean, words.address, words.dynamic):
        try:
            read(position)
        except AbiError:
            pass


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        word(32)[:31],
        word(32),
        word(2**256 - 1),
        word(2**255),
        word(32) + word(1),
        word(32) + word(2**256 - 1) + b"x" * 64,
        word(40) + word(33),
    ],
    ids=["empty", "half word", "no length", "offset overflows", "huge offset", "no content", "huge length", "cut"],
)
def test_dynamic_values_outside_the_data_are_refused(data: bytes) -> None:
    with pytest.raises(AbiError):
        Words(data).dynamic(0)


@pytest.mark.parametrize(("value", "bits"), [(256, 8), (2, 1), (2**128, 128)])
def test_integers_out_of_range_are_refused(value: int, bits: int) -> None:
    assert Words(word(value - 1)).uint(0, bits=bits) == value - 1
    with pytest.raises(AbiError):
        Words(word(value)).uint(0, bits=bits)


@pytest.mark.parametrize("raw", [b"", bytes(31), b"\x01" + bytes(31), bytes(11) + b"\x01" + bytes(20)])
def test_a_word_that_is_no_address_is_refused(raw: bytes) -> None:
    with pytest.raises(AbiError):
        address_of_word(raw)


@pytest.mark.parametrize(("text", "value"), [("0x0", 0), ("0xff", 255), ("0X10", 16), ("0x" + "f" * 64, 2**256 - 1)])
def test_quantities_are_read(text: str, value: int) -> None:
    assert int_of_hex(text) == value


@pytest.mark.parametrize(
    "value", ["", "0x", "ff", "0xzz", 5, None, ["0x1"], "0x" + "f" * 65, "0x 1g", "-0x1"], ids=repr
)
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(AbiError):
        int_of_hex(value)


@pytest.mark.parametrize(("text", "value"), [("0x", b""), ("0x00Ff", b"\x00\xff")])
def test_data_is_read(text: str, value: bytes) -> None:
    assert bytes_of_hex(text) == value


@pytest.mark.parametrize("value", ["", "00", "0x0", "0xzz", 5, None, b"0x00", "0xé0"], ids=repr)
def test_what_is_no_data_is_refused(value: object) -> None:
    with pytest.raises(AbiError):
        bytes_of_hex(value)
