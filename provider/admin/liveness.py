"""Are the workers alive? This one answers, so its loop turns; how late, and when others were last heard of, is told."""

from collections.abc import Mapping
from typing import Protocol

# A loop that is this late at every beat serves nobody; a long collection or a swapped page is no reason yet.
MAX_LAG_SECONDS = 5.0
# Workers beat twice a second.
MAX_SILENCE_SECONDS = 15.0


class LoopLag(Protocol):
    """Of this worker."""

    @property
    def recent_lag_seconds(self) -> float:
        """What the loop has been late by at least, for some seconds."""


class Others(Protocol):
    """The workers beside this one."""

    def silent_seconds(self) -> Mapping[int, float]:
        """By process id, how long ago each was last heard of."""


class Liveness:
    """Tells what is wrong, if anything."""

    def __init__(self, loop_lag: LoopLag, others: Others) -> None:
        self._loop_lag, self._others = loop_lag, others

    def faults(self) -> list[str]:
        """Empty when all is well."""
        faults: list[str] = []
        lag = self._loop_lag.recent_lag_seconds
        if lag > MAX_LAG_SECONDS:
            faults.append(f"the event loop is {lag:.1f} s late")
        for process_id, seconds in sorted(self._others.silent_seconds().items()):
            if seconds > MAX_SILENCE_SECONDS:
                faults.append(f"worker {process_id} has been silent for {seconds:.0f} s")
        return faults
