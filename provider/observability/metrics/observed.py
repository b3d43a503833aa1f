"""What the metrics look at by themselves: streams, caches, pipes. The rooms that have them know nothing of this."""

from typing import Protocol


class Sent(Protocol):
    """A stream under way, as `provider.streaming.progress` has it."""

    bytes_sent: int


class CacheCounts(Protocol):
    """What a cache has done so far."""

    @property
    def hits(self) -> int:
        """Look-ups that found a live value."""

    @property
    def misses(self) -> int:
        """Those that did not."""

    @property
    def evictions(self) -> int:
        """Values pushed out before their time."""

    @property
    def hit_age_seconds(self) -> float:
        """Ages of values at their hits, added up."""


class Cache(Protocol):
    """A cache that counts for itself."""

    @property
    def counts(self) -> CacheCounts:
        """What it has done so far."""

    @property
    def max_entries(self) -> int:
        """How many fit."""

    def __len__(self) -> int:
        """How many are held."""


class Pipes(Protocol):
    """The pipes for splicing."""

    @property
    def opened(self) -> int:
        """Pipes that exist."""

    @property
    def taken(self) -> int:
        """Pipes in use."""

    @property
    def fallbacks(self) -> int:
        """Times that there was none to be had."""
