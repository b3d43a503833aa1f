"""Decides which endpoints of a chain to ask, and in which order, from how each has answered. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Literal, TypeVar

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
# A service that asks for more patience than this is asked again all the same.
LONGEST_RETRY_AFTER_SECONDS = 300.0
# Failures in a row (of different pauses) after which nobody waits for the endpoint until its pause is over.
OPEN_AFTER_FAILURES = 3
# Times in a row that a later endpoint answered first, after which the endpoint is asked later itself, for a while.
SLOW_AFTER_LOSSES = 3
SLOW_SECONDS = 60.0
# Faults within FAULTY_SECONDS where another endpoint had an answer, after which the endpoint is asked later itself.
FAULTY_AFTER = 3
FAULTY_SECONDS = 60.0


@dataclass(slots=True)
class Health:
    """How one endpoint has answered. Times are the event loop's.

    verified: its chain id was right, and it has not failed since.
    failures, losses: in a row.
    ejected_until: until then it is asked only after the healthy ones.
    open_until: until then it is not asked at all.
    height: the last block that it reported. `behind`: that is too far below the others.
    reviving: a check in the background is in progress.
    latency_seconds: of the last answer.
    faults: calls since `faults_since` that another endpoint answered and this one did not.
    faulty_until: until then it is asked later.
    """

    verified: bool = False
    failures: int = 0
    ejected_until: float = 0.0
    open_until: float = 0.0
    losses: int = 0
    slow_until: float = 0.0
    height: int | None = None
    behind: bool = False
    reviving: bool = False
    latency_seconds: float | None = None
    faults: int = 0
    faults_since: float = 0.0
    faulty_until: float = 0.0

    def fail(self, now: float, *, retry_after_seconds: float | None = None) -> float | None:
        """Eject the endpoint for a growing time, or for as long as it asks.

        Returns that time in seconds; None if this failure belongs to an outage that was counted. Even then, the time
        that the endpoint asks for is kept if it ends later.
        """
        self.verified = False
        asked = min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        if self.failures and now < self.ejected_until:
            if retry_after_seconds is not None:
                self.open_until = self.ejected_until = max(self.ejected_until, now + asked)
            return None
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 16), LONGEST_PAUSE_SECONDS)
        pause = max(pause, asked)
        self.failures += 1
        self.ejected_until = now + pause
        if retry_after_seconds is not None or self.failures >= OPEN_AFTER_FAILURES:
            self.open_until = self.ejected_until
        return pause

    def recover(self) -> None:
        """Record that the endpoint answered for the right chain."""
        self.verified = True
        self.failures = 0
        self.ejected_until = self.open_until = 0.0

    def lose(self, now: float) -> None:
        """Record that an endpoint which was asked later answered first."""
        self.losses += 1
        if self.losses >= SLOW_AFTER_LOSSES:
            self.slow_until = now + SLOW_SECONDS

    def win(self) -> None:
        """Record that the endpoint answered before another one had to be asked."""
        self.losses = 0

    def fault(self, now: float) -> None:
        """Record that another endpoint answered a call that this one did not."""
        if not self.faults or now - self.faults_since > FAULTY_SECONDS:
            self.faults, self.faults_since = 0, now
        self.faults += 1
        if self.faults >= FAULTY_AFTER:
            self.faulty_until = now + FAULTY_SECONDS
            self.faults = 0


Standing = Literal["unasked", "ok", "slow", "faulty", "behind", "ejected"]


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The reported state of one endpoint. `index`: its position. `back_in_seconds`: how long it stays ejected, or 0."""

    index: int
    standing: Standing
    height: int | None
    latency_seconds: float | None
    back_in_seconds: float


def tell(index: int, health: Health, now: float) -> EndpointHealth:
    """Report the state of an endpoint for logs and pages."""
    standing: Standing = "ok"
    if health.failures:
        standing = "ejected"
    elif health.behind:
        standing = "behind"
    elif now < health.faulty_until:
        standing = "faulty"
    elif now < health.slow_until:
        standing = "slow"
    elif health.latency_seconds is None:
        standing = "unasked"
    back_in_seconds = max(0.0, health.ejected_until - now) if health.failures else 0.0
    return EndpointHealth(index, standing, health.height, health.latency_seconds, back_in_seconds)


Named = TypeVar("Named")


def order(endpoints: Iterable[tuple[Named, Health]], now: float) -> list[Named]:
    """Return the endpoints in the order in which to ask them.

    Healthy ones come first, as configured; among them slow, faulty and lagging ones last. Ejected ones follow, the
    soonest back first. Endpoints whose circuit is open are left out, so that nobody waits for them."""
    listed = list(endpoints)
    healthy = [(name, health) for name, health in listed if not health.failures]
    ejected = [(name, health) for name, health in listed if health.failures and now >= health.open_until]
    healthy.sort(key=lambda entry: entry[1].behind or now < max(entry[1].slow_until, entry[1].faulty_until))
    ejected.sort(key=lambda entry: entry[1].ejected_until)
    return [name for name, _ in healthy + ejected]


def seconds_until_open(healths: Sequence[Health], now: float) -> float:
    """Return the seconds until the first of them may be asked again."""
    return max(0.0, min(health.open_until for health in healths) - now)


def behind(heights: Mapping[Named, int], max_lag_blocks: int) -> set[Named]:
    """Return the endpoints more than `max_lag_blocks` below the median height (of two, the higher).

    With the median, one endpoint that claims an absurd height cannot make the others look late.
    """
    if len(heights) < 2:
        return set()
    values = sorted(heights.values())
    agreed = max(values) if len(values) == 2 else median_low(values)
    return {name for name, height in heights.items() if agreed - height > max_lag_blocks}
