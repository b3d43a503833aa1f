"""Decodes the part of the contract ABI that we read: 32-byte words and dynamic bytes (pure).

https://docs.soliditylang.org/en/latest/abi-spec.html. The bytes are sliced by hand: a general decoder costs ten times
as much and half a second of imports.
"""

from provider.crypto.keccak import to_checksum_address
from provider.wire.text import hex_bytes, hex_number

WORD_BYTES = 32
_ADDRESS_PADDING = bytes(12)


class AbiError(ValueError):
    """The bytes do not hold a value of the expected type there."""


class Words:
    """ABI-encoded values. Positions count words from the start; every method raises AbiError."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def word(self, position: int) -> bytes:
        """Return the 32 bytes at `position`."""
        word = self._data[position * WORD_BYTES : (position + 1) * WORD_BYTES]
        if len(word) != WORD_BYTES:
            raise AbiError("too short")
        return word

    def uint(self, position: int, *, bits: int = 256) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        value = int.from_bytes(self.word(position), "big")
        if value >> bits:
            raise AbiError("integer out of range")
        return value

    def boolean(self, position: int) -> bool:
        """Return a bool, which is encoded as 0 or 1."""
        return self.uint(position, bits=1) == 1

    def address(self, position: int) -> str:
        """Return a checksummed address."""
        return address_of_word(self.word(position))

    def dynamic(self, position: int) -> bytes:
        """Return the content of the `bytes` or `string` whose offset is at `position`."""
        offset = self.uint(position)
        start = offset + WORD_BYTES
        if start > len(self._data):
            raise AbiError("offset out of range")
        end = start + int.from_bytes(self._data[offset:start], "big")
        if end > len(self._data):
            raise AbiError("length out of range")
        return self._data[start:end]


def address_of_word(word: bytes) -> str:
    """Return the checksummed address that one word holds. Raises AbiError when its upper 12 bytes are not zero."""
    if len(word) != WORD_BYTES or not word.startswith(_ADDRESS_PADDING):
        raise AbiError("not an address")
    return to_checksum_address("0x" + word[12:].hex())


def bytes_of_hex(value: object) -> bytes:
    """Return the bytes of a JSON-RPC `DATA` value: `0x` and an even number of hex digits. Raises AbiError."""
    data = hex_bytes(value[2:]) if isinstance(value, str) and value.startswith(("0x", "0X")) else None
    if data is None:
        raise AbiError("not hex data")
    return data


def int_of_hex(value: object) -> int:
    """Return the integer of a JSON-RPC `QUANTITY` value: `0x` and 1 to 64 hex digits. Raises AbiError."""
    number = hex_number(value[2:]) if isinstance(value, str) and value.startswith(("0x", "0X")) else None
    if number is None:
        raise AbiError("not a hex quantity")
    return number


def count_of_hex(value: object) -> int:
    """Return a `QUANTITY` that counts blocks, logs or transactions. Raises AbiError, also for more than 63 bits.

    No chain has as many, and neither SQLite nor JSON takes more.
    """
    number = int_of_hex(value)
    if number >> 63:
        raise AbiError("no chain has as many")
    return number
