"""When to refuse work because the event loop is late, and how much to let in meanwhile (pure).

Overload is a standing queue, as CoDel tells one (RFC 8289 section 3): not a late moment and not a burst, but requests
at work that never became few for a whole interval, on a loop that was late in the mean. From then on the number of
requests at work is limited, and the limit found by increase and multiplicative decrease (Chiu and Jain 1989), as TCP
finds its window: down while the loop is late, up while it is not.
"""

# Long enough for a burst to pass: some hundred downloads that come at once are done in it.
INTERVAL_SECONDS = 1.0
# Fewer are no queue worth a refusal: all of them together need less than a tenth of a second.
QUEUE_AT_WORK = 64
# How late the loop may be while work is refused: refusals wait for it, and they are to take 10 ms at most.
SHEDDING_LAG_SECONDS = 0.004
STEP_SECONDS = 0.05
# As many as it takes to reach the peak, while some wait for the disk and some for an origin. On a host whose cores are
# busy with others the loop is late whatever is refused, and the limit falls to this.
LEAST_AT_WORK = 8
FIRST_AT_WORK = 16
MOST_AT_WORK = 4096
DECREASE = 0.8
# Slow origins keep requests at work without any work: then the limit has to get out of the way soon.
INCREASE = 0.1
# Overload is over when nothing had to be refused for so long.
QUIET_SECONDS = 1.0


class Overload:
    """Decides about requests by how many are at work.

    `lag_seconds`: the mean delay of the loop, with a queue standing, that begins a limit; 0 for never.
    """

    def __init__(self, *, lag_seconds: float) -> None:
        self._lag_seconds = lag_seconds
        self._interval_began: float | None = None
        self._step_began = 0.0
        self._lags: list[float] = []
        self._last_refusal = 0.0
        self._refused_in_step = False
        self.limit: float | None = None
        """How many requests may be at work; None while there is no overload."""

    def is_full(self, at_work: int) -> bool:
        """Must a request be refused, with so many at work?"""
        if self.limit is None or at_work < self.limit:
            return False
        self._refused_in_step = True
        return True

    def tick(self, now: float, lag_seconds: float, at_work: int) -> None:
        """The loop ran its timer so late, with so many requests at work. Called some times an interval."""
        if not self._lag_seconds:
            return
        if self.limit is None:
            self._look_for_standing_queue(now, lag_seconds, at_work)
        else:
            self._adapt(now, lag_seconds)

    def _look_for_standing_queue(self, now: float, lag_seconds: float, at_work: int) -> None:
        if at_work < QUEUE_AT_WORK:
            # Nobody may call before the next burst.
            self._interval_began = None
            return
        began = self._interval_began
        if began is None:
            self._begin_interval(now)
            began = now
        # A timer is due at any moment of a turn of the loop, and late by what is left of it: single ones say little.
        self._lags.append(lag_seconds)
        if now - began < INTERVAL_SECONDS:
            return
        is_late = sum(self._lags) / len(self._lags) >= self._lag_seconds
        self._begin_interval(now)
        if is_late:
            self.limit = FIRST_AT_WORK
            self._last_refusal = self._step_began = now

    def _begin_interval(self, now: float) -> None:
        self._interval_began = now
        self._lags.clear()

    def _adapt(self, now: float, lag_seconds: float) -> None:
        assert self.limit is not None  # noqa: S101 - the only caller looked
        self._lags.append(lag_seconds)
        if now - self._step_began < STEP_SECONDS:
            return
        # The middle one: a single late moment, as of a collector's run, says nothing.
        late = sorted(self._lags)[len(self._lags) // 2] > SHEDDING_LAG_SECONDS
        if late:
            self.limit = max(LEAST_AT_WORK, self.limit * DECREASE)
        elif self._refused_in_step:
            self.limit = min(MOST_AT_WORK, self.limit + max(1.0, self.limit * INCREASE))
        if self._refused_in_step:
            self._last_refusal = now
        self._refused_in_step = False
        self._step_began = now
        self._lags.clear()
        if now - self._last_refusal >= QUIET_SECONDS:
            self.limit = self._interval_began = None
