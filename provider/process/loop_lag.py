"""The pulse of a worker: one timer twice a second, how late it comes, and what is to be done that often."""

import asyncio
from collections import deque
from collections.abc import Callable

# Far below the 15 s at which Prometheus usually scrapes.
BEAT_SECONDS = 0.5
# What `recent_lag_seconds` looks back on: a lag that is over soon is no reason to restart anything.
RECENT_BEATS = 10


class LoopLag:
    """Calls `beat` now and then, and `observe_lag` with how late it was (seconds)."""

    def __init__(self, beat: Callable[[], None], *, observe_lag: Callable[[float], None]) -> None:
        self._beat = beat
        self._observe_lag = observe_lag
        self._recent: deque[float] = deque(maxlen=RECENT_BEATS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Inside the running loop."""
        self._begin(asyncio.get_running_loop())

    def stop(self) -> None:
        """No more beats."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def recent_lag_seconds(self) -> float:
        """The least lag of the last beats: what a loop that is stuck never falls below; 0 at first."""
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
