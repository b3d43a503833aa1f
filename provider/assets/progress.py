"""How fast a chain is read, and how long the rest will take (pure)."""

from collections import deque

# The rate is measured over this time: long enough to be steady, short enough to follow dense and sparse stretches.
_WINDOW_SECONDS = 60.0
_STEP_SECONDS = 1.0


class Progress:
    """Takes note of the last block read. `now`: any clock that only rises, in seconds."""

    def __init__(self) -> None:
        self._read: deque[tuple[float, int]] = deque()

    def note(self, block: int, now: float) -> None:
        """Take note of the last block read by `now`."""
        if len(self._read) > 1 and now - self._read[-2][0] < _STEP_SECONDS:
            self._read.pop()
        self._read.append((now, block))
        while self._read[-1][0] - self._read[1 if len(self._read) > 1 else 0][0] >= _WINDOW_SECONDS:
            self._read.popleft()

    def rest(self) -> None:
        """Forget the rate: reading stops for a while."""
        self._read.clear()

    @property
    def blocks_per_second(self) -> float:
        """Blocks read per second lately; 0 as long as it is not known."""
        if len(self._read) < 2:
            return 0.0
        (began, first), (ended, last) = self._read[0], self._read[-1]
        return max(0, last - first) / (ended - began) if ended > began else 0.0

    def left_seconds(self, blocks: int) -> float | None:
        """Return the seconds that this many more blocks take at this rate; None if the rate is not known."""
        if not blocks:
            return 0.0
        rate = self.blocks_per_second
        return blocks / rate if rate else None


def told_duration(seconds: float) -> str:
    """Say how long something takes, in one unit: `40 s`, `12 min`, `3.5 h`, `7 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"
