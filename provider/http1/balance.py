"""How many connections each worker holds, in memory that the workers share."""

import mmap

# A worker may hold more connections than another by this part: with many of them, pauses matter more than balance.
_TOLERATED_PART = 8


class Balance:
    """The number of connections that each worker holds. Processes that are forked afterwards share it."""

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * workers)).cast("I")

    def share(self, index: int) -> "Share":
        """Return the number of one worker. It begins with 0, also if the worker takes the place of another."""
        self._counts[index] = 0
        return Share(self._counts, index)


class Share:
    """The number of connections that this worker holds, next to those of the others."""

    def __init__(self, counts: memoryview, index: int) -> None:
        self._counts, self._index = counts, index

    def hold(self, connections: int) -> None:
        """Tell the others how many connections this worker holds."""
        self._counts[self._index] = connections

    @property
    def is_larger(self) -> bool:
        """True if another worker should take the next connection."""
        least = min(self._counts)
        return bool(self._counts[self._index] > least + least // _TOLERATED_PART)
