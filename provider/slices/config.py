"""Settings of the slice cache."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import integer, seconds, text

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class SliceConfig:
    """Where slices of remote files are kept, how many, and for how long they are served without asking the origin."""

    SECTION: ClassVar = "slices"

    directory: str | None = text(
        "PROVIDER_CACHE_DIR",
        help="Directory on a local disk where slices of remote files are kept. Unset: files are not cached. All "
        "workers of a host share it. The files in it are unencrypted, readable by this server's user only.",
        example="/var/cache/provider",
    )
    max_bytes: int = integer(
        "PROVIDER_CACHE_BYTES",
        10 << 30,
        minimum=MIB,
        maximum=1 << 50,
        help="Size of the slice cache, in bytes. It also leaves 5 % of the disk free, or 5 GiB if that is less. "
        "Slices that are being fetched are not counted.",
    )
    slice_bytes: int = integer(
        "PROVIDER_CACHE_SLICE_BYTES",
        8 * MIB,
        minimum=64 << 10,
        maximum=256 * MIB,
        help="Size of one slice, in bytes. A slice is fetched when an eighth of it has been asked for.",
    )
    fresh_seconds: float = seconds(
        "PROVIDER_CACHE_FRESH_SECONDS",
        60,
        minimum=0,
        maximum=86_400,
        help="How long a cached file is served without asking its origin. Afterwards one conditional request decides. "
        "An origin's `max-age` or `no-cache` shortens this.",
    )
    read_ahead: int = integer(
        "PROVIDER_CACHE_READ_AHEAD",
        8,
        minimum=1,
        maximum=16,
        help="How many slices are fetched ahead at once from an origin that takes 20 ms or more to answer, for files "
        "of 64 MiB and more, as long as the origin, and not the consumer, limits the speed. 1: one after the other.",
    )
    from_request: int = integer(
        "PROVIDER_CACHE_FROM_REQUEST",
        2,
        minimum=1,
        maximum=100,
        help="Which request for a file within a day starts to cache it. With 1 every file is cached at once, which "
        "costs disk writes for files that nobody reads again.",
    )
