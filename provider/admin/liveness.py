"""Are the workers alive? This one answers, so its loop turns; how late, and when others were last heard of, is told."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provider.observability.metrics.board import Board
    from provider.process.loop_lag import Pulse

# A loop that is this late at every beat serves nobody; a long collection or a swapped page is no reason yet.
MAX_LAG_SECONDS = 5.0
# Workers beat twice a second.
MAX_SILENCE_SECONDS = 15.0


class Liveness:
    """Tells what is wrong, if anything."""

    def __init__(self, pulse: "Pulse", others: "Board") -> None:
        self._pulse, self._others = pulse, others

    def faults(self) -> list[str]:
        """Empty when all is well."""
        faults: list[str] = []
        lag = self._pulse.recent_lag_seconds
        if lag > MAX_LAG_SECONDS:
            faults.append(f"the event loop is {lag:.1f} s late")
        for process_id, seconds in sorted(self._others.silent_seconds().items()):
            if seconds > MAX_SILENCE_SECONDS:
                faults.append(f"worker {process_id} has been silent for {seconds:.0f} s")
        return faults
