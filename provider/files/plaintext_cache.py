"""Keeps decrypted file lists for a short while and zeroes them afterwards: they hold publishers' URLs and credentials.

A key in, the plaintext's own buffer out. `file_list.py` decrypts and parses.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from provider.cache import CacheCounts

# Real lists have 200 bytes to a few KiB, so those of a thousand assets stay below a few MiB.
MAX_PLAINTEXT_BYTES = 64 * 1024

Later = Callable[[float, Callable[[], None]], object]


def _on_running_loop(delay_seconds: float, callback: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(delay_seconds, callback)


@dataclass(slots=True)
class Kept:
    """A plaintext and the files read from it. Both leave together."""

    plaintext: bytearray = field(repr=False)
    expires_at: float
    read: dict[Hashable, object] = field(default_factory=dict, repr=False)


class PlaintextCache:
    """At most `max_entries` buffers, each for `ttl_seconds` after its `put`. 0 for either keeps nothing.

    Use does not prolong a lifetime. A buffer is zeroed when it expires, when it is evicted, and at `close`. `later`
    schedules a callback, so this happens even if nobody asks any more. Callers must not keep the buffer; what they read
    from it may stay in `Kept.read`. One event loop owns a cache.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        later: Later = _on_running_loop,
    ) -> None:
        self.counts = CacheCounts()
        self.max_entries = max_entries
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._later = later
        # All lifetimes are equal, so the order of insertion is the order of expiry.
        self._entries: OrderedDict[Hashable, Kept] = OrderedDict()
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Kept | None:
        """The live plaintext, or None."""
        kept = self._entries.get(key)
        now = self._clock()
        if kept is None or kept.expires_at <= now:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        self.counts.hit_age_seconds += now - (kept.expires_at - self._ttl_seconds)
        return kept

    def put(self, key: Hashable, plaintext: bytearray) -> None:
        """Take over a buffer. If it is not kept, it is zeroed at once."""
        self._wipe(key)
        if self._ttl_seconds <= 0 or self.max_entries <= 0 or len(plaintext) > MAX_PLAINTEXT_BYTES:
            _zero(plaintext)
            return
        if len(self._entries) >= self.max_entries:
            self._wipe(next(iter(self._entries)))
            self.counts.evictions += 1
        self._entries[key] = Kept(plaintext, self._clock() + self._ttl_seconds)
        if not self._sweeping:
            self._sweeping = True
            self._later(self._ttl_seconds, self._sweep)

    def close(self) -> None:
        """Zero everything."""
        for key in list(self._entries):
            self._wipe(key)

    def _sweep(self) -> None:
        self._sweeping = False
        now = self._clock()
        for key, kept in list(self._entries.items()):
            if kept.expires_at > now:
                self._sweeping = True
                self._later(kept.expires_at - now, self._sweep)
                return
            self._wipe(key)

    def _wipe(self, key: Hashable) -> None:
        kept = self._entries.pop(key, None)
        if kept is not None:
            kept.read.clear()
            _zero(kept.plaintext)


def _zero(plaintext: bytearray) -> None:
    plaintext[:] = bytes(len(plaintext))
