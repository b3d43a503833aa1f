"""Decides how much of a chain to request at once (pure): blocks per query and queries in flight, from the answers and
refusals of nodes."""

from collections.abc import Callable

PAGE_BYTES = 512 << 10
"""Logs that one query should return: their JSON is decoded in about a millisecond."""
MOST_PAGE_BYTES = 4 << 20
"""Logs of several blocks that are read at all. More are asked for in shorter ranges."""
MOST_PAGES = 8
MOST_AHEAD_BYTES = 8 << 20
# A node may have refused a length because of its many logs; other ranges have fewer.
FORGET_SECONDS = 60.0
_FIRST_BLOCKS = 1000


class Stride:
    """Number of blocks per query. It doubles while answers are small, and shrinks to what `PAGE_BYTES` hold.

    A length that a node refused is not tried again for a minute. `now`: any clock, in seconds.
    """

    def __init__(self, max_blocks: int, *, now: Callable[[], float]) -> None:
        self._max_blocks = max_blocks
        self._now = now
        self._refused_blocks = max_blocks + 1
        self._refused_until = 0.0
        self.blocks = min(max_blocks, _FIRST_BLOCKS)

    def halve(self) -> None:
        """Record that no answer came, perhaps because the range was too long."""
        self.blocks = max(1, self.blocks // 2)

    def refused(self, blocks: int, *, is_too_large: bool) -> None:
        """Record that a range of `blocks` was too long. `is_too_large`: its logs were; others may be fewer."""
        self.blocks = max(1, blocks // 2)
        if not is_too_large:
            self._refused_blocks = blocks
            self._refused_until = self._now() + FORGET_SECONDS

    def answered(self, blocks: int, size_bytes: int) -> None:
        """Record that an answer for `blocks` had logs of this many bytes."""
        if size_bytes > PAGE_BYTES:
            self.blocks = max(1, min(self.blocks, blocks * PAGE_BYTES // size_bytes))
        elif size_bytes <= PAGE_BYTES // 8:
            self._grow(self.blocks)
        elif size_bytes <= PAGE_BYTES // 2:
            self._grow(self.blocks // 4)

    def _grow(self, by_blocks: int) -> None:
        most = self._max_blocks
        if self._now() < self._refused_until:
            most = min(most, self._refused_blocks - 1)
        self.blocks = max(1, min(most, self.blocks + max(1, by_blocks)))


class Window:
    """Number of queries in flight: one more after each answer, half after a failure, fewer while answers are large."""

    def __init__(self) -> None:
        self._pages = 1
        self._size_bytes = 0

    @property
    def pages(self) -> int:
        """Most queries to have in flight."""
        return max(1, min(self._pages, MOST_AHEAD_BYTES // max(1, self._size_bytes)))

    def answered(self, size_bytes: int) -> None:
        """Record an answer with logs of this many bytes."""
        self._pages = min(MOST_PAGES, self._pages + 1)
        self._size_bytes = size_bytes

    def failed(self) -> None:
        """Record that the node did not answer."""
        self._pages = max(1, self._pages // 2)
