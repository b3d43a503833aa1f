"""Settings of the limits of consumers' streams."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import integer

# SO_MAX_PACING_RATE has 32 bits, the greatest of which means no limit.
_MAX_RATE = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Limits of streams, per worker; 0 means none."""

    SECTION: ClassVar = "limits"

    max_streams_per_consumer: int = integer(
        "PROVIDER_MAX_STREAMS_PER_CONSUMER",
        0,
        minimum=0,
        maximum=1_000_000,
        help="Streams that one consumer address may have at a time. One more gets 429.",
    )
    max_bytes_per_second_per_stream: int = integer(
        "PROVIDER_MAX_BYTES_PER_SECOND_PER_STREAM",
        0,
        minimum=0,
        maximum=_MAX_RATE,
        help="Speed of one stream, in bytes per second.",
    )
    max_bytes_per_second_per_consumer: int = integer(
        "PROVIDER_MAX_BYTES_PER_SECOND_PER_CONSUMER",
        0,
        minimum=0,
        maximum=_MAX_RATE,
        help="Speed of one consumer, in bytes per second, shared evenly by the consumer's streams.",
    )
