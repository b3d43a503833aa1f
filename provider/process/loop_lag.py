"""Measures the lag of a worker's event loop with one timer, twice a second, and runs what has to run that often."""

import asyncio
from collections import deque
from collections.abc import Callable

# Far below the 15 s at which Prometheus usually scrapes.
BEAT_SECONDS = 0.5
# `recent_lag_seconds` covers this many beats: a short lag is no reason to restart anything.
RECENT_BEATS = 10


class LoopLag:
    """Calls `beat` at each tick, and `observe_lag` with how late the tick was (seconds)."""

    def __init__(self, beat: Callable[[], None], *, observe_lag: Callable[[float], None]) -> None:
        self._beat = beat
        self._observe_lag = observe_lag
        self._recent: deque[float] = deque(maxlen=RECENT_BEATS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start inside the running loop."""
        self._begin(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def recent_lag_seconds(self) -> float:
        """Return the smallest recent lag, which a stuck loop never falls below; 0 until there are enough beats."""
        return min(self._recent) if len(self._recent) == RECENT_BEATS else 0.0

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + BEAT_SECONDS
        self._timer = loop.call_at(due, self._run, loop, due)

    def _run(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        lag = max(0.0, loop.time() - due)
        self._recent.append(lag)
        self._observe_lag(lag)
        self._begin(loop)
        self._beat()
