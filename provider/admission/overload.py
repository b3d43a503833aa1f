"""Decides when to refuse work because the event loop is late, and how much to admit meanwhile (pure).

Overload is a standing queue, as in CoDel (RFC 8289 section 3). It is neither a late moment nor a burst: for a whole
interval, the number of requests at work never became small, and the loop was late on average. During overload, the
number of requests at work is limited. The limit is found by additive increase and multiplicative decrease (Chiu and
Jain 1989), as TCP finds its window: down while the loop is late, up while it is not.
"""

# Long enough for a burst: some hundred downloads that arrive at once are finished in it.
INTERVAL_SECONDS = 1.0
# Fewer requests are not worth a refusal: together they need less than a tenth of a second.
QUEUE_AT_WORK = 64
# Accepted lag while work is refused. Refusals wait for the loop, and should take 10 ms at most.
SHEDDING_LAG_SECONDS = 0.004
STEP_SECONDS = 0.05
# Enough to reach the peak throughput while some requests wait for the disk and some for an origin. On a host whose
# cores are busy with other programs, the loop is late whatever is refused, and the limit falls to this.
LEAST_AT_WORK = 8
FIRST_AT_WORK = 16
MOST_AT_WORK = 4096
DECREASE = 0.8
# Slow origins keep requests at work although they cause none, so the limit has to rise fast.
INCREASE = 0.1
# Overload is over when nothing had to be refused for this long.
QUIET_SECONDS = 1.0


class Overload:
    """Decides by the number of requests at work.

    `lag_seconds`: average delay of the loop, with a standing queue, that starts a limit; 0 disables it.
    """

    def __init__(self, *, lag_seconds: float) -> None:
        self._lag_seconds = lag_seconds
        self._interval_began: float | None = None
        self._step_began = 0.0
        self._lags: list[float] = []
        self._last_refusal = 0.0
        self._refused_in_step = False
        self.limit: float | None = None
        """Most requests at work; None while there is no overload."""

    def is_full(self, at_work: int) -> bool:
        """Tell whether a request must be refused while `at_work` others are at work."""
        if self.limit is None or at_work < self.limit:
            return False
        self._refused_in_step = True
        return True

    def tick(self, now: float, lag_seconds: float, at_work: int) -> None:
        """Record the lag of the loop's timer, with `at_work` requests at work. Called several times per interval."""
        if not self._lag_seconds:
            return
        if self.limit is None:
            self._look_for_standing_queue(now, lag_seconds, at_work)
        else:
            self._adapt(now, lag_seconds)

    def _look_for_standing_queue(self, now: float, lag_seconds: float, at_work: int) -> None:
        if at_work < QUEUE_AT_WORK:
            # The next call may come only with the next burst.
            self._interval_began = None
            return
        began = self._interval_began
        if began is None:
            self._begin_interval(now)
            began = now
        # A timer is due at some point of a loop turn and late by the rest of it, so single values say little.
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
        # One late moment in five, such as a garbage collection, says nothing. The median in its place let refusals wait
        # a sixth longer.
        late = sorted(self._lags)[len(self._lags) * 4 // 5] > SHEDDING_LAG_SECONDS
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
