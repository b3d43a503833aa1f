"""Encodes and decodes words of the contract ABI by eth_abi, with a limit on what a result makes it read (pure).

Imported at the first call of a contract: eth_abi takes 14 MiB and a fifth of a second.
"""

from collections.abc import Sequence

from eth_abi.codec import ABICodec
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import registry

# No real result is longer. Offsets may share words, so that a few bytes could stand for many values.
MAX_RESULT_BYTES = 256 * 1024
_MAX_READ_BYTES = 4 * MAX_RESULT_BYTES


class _BoundedStream(ContextFramesBytesIO):
    _left_bytes = _MAX_READ_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ValueError("offsets lead to the same words too often")
        return data


class _BoundedCodec(ABICodec):
    stream_class = _BoundedStream


_codec = _BoundedCodec(registry)


def encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    """Encode arguments. Raises ValueError if a value does not fit its type."""
    try:
        return _codec.encode(types, values)
    except (EncodingError, TypeError, OverflowError) as error:
        raise ValueError(type(error).__name__) from None


def decode(types: Sequence[str], data: bytes) -> tuple[object, ...]:
    """Decode a result. Padding is not checked, as in contracts. Raises ValueError if the types do not fit."""
    if len(data) > MAX_RESULT_BYTES:
        raise ValueError("the result is too long")
    try:
        return tuple(_codec.decode(types, data, strict=False))
    except (DecodingError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(type(error).__name__) from None
