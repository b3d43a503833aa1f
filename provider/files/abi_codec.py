"""Words of the contract ABI through eth_abi, with a bound on what a result may make it read (pure).

Imported when a contract is first called: eth_abi takes 14 MiB and a fifth of a second.
"""

from collections.abc import Sequence

from eth_abi.codec import ABICodec
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import registry

# Longer results are no parameters of anything. Offsets may share words, so that few bytes could make many values.
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
    """Arguments as the ABI has them. Raises ValueError when a value is not of its type."""
    try:
        return _codec.encode(types, values)
    except (EncodingError, TypeError, OverflowError) as error:
        raise ValueError(type(error).__name__) from None


def decode(types: Sequence[str], data: bytes) -> tuple[object, ...]:
    """Values of a result; padding is not checked, as contracts do not. Raises ValueError when it is of other types."""
    if len(data) > MAX_RESULT_BYTES:
        raise ValueError("the result is too long")
    try:
        return tuple(_codec.decode(types, data, strict=False))
    except (DecodingError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(type(error).__name__) from None
