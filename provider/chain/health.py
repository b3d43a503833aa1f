"""Which endpoints of a chain are asked, and in which order: what was seen of each in, an order out. Pure."""

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
    """What was seen of one endpoint; times are the event loop's.

    `verified`: its chain id was right and no failure was seen since. `failures`, `losses`: in a row. `aside_until`:
    asked after the healthy ones only. `open_until`: not asked at all. `height`: last block it told; `behind`: too far
    from the others. `reviving`: a check in the background is under way. `latency_seconds`: of the last answer.
    `faults`: since `faults_since`, calls that it did not answer and another one did; `faulty_until`: it is asked later.
    """

    verified: bool = False
    failures: int = 0
    aside_until: float = 0.0
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
        """Put aside for a growing time, or the time it asks for; that time, or None within an outage that counted.

        Within one, what it asks for still holds if that ends later.
        """
        self.verified = False
        asked = min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        if self.failures and now < self.aside_until:
            if retry_after_seconds is not None:
                self.open_until = self.aside_until = max(self.aside_until, now + asked)
            return None
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 16), LONGEST_PAUSE_SECONDS)
        pause = max(pause, asked)
        self.failures += 1
        self.aside_until = now + pause
        if retry_after_seconds is not None or self.failures >= OPEN_AFTER_FAILURES:
            self.open_until = self.aside_until
        return pause

    def recover(self) -> None:
        """It answered, and for the right chain."""
        self.verified = True
        self.failures = 0
        self.aside_until = self.open_until = 0.0

    def lose(self, now: float) -> None:
        """One that was asked later answered first."""
        self.losses += 1
        if self.losses >= SLOW_AFTER_LOSSES:
            self.slow_until = now + SLOW_SECONDS

    def win(self) -> None:
        """It answered before any other had to be asked."""
        self.losses = 0

    def fault(self, now: float) -> None:
        """Another one answered what it did not."""
        if not self.faults or now - self.faults_since > FAULTY_SECONDS:
            self.faults, self.faults_since = 0, now
        self.faults += 1
        if self.faults >= FAULTY_AFTER:
            self.faulty_until = now + FAULTY_SECONDS
            self.faults = 0


Standing = Literal["unasked", "ok", "slow", "faulty", "behind", "aside"]


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """What is told of one endpoint, by its position. `back_in_seconds` is how long it stays aside, else 0."""

    index: int
    standing: Standing
    height: int | None
    latency_seconds: float | None
    back_in_seconds: float


def tell(index: int, health: Health, now: float) -> EndpointHealth:
    """For those who look on."""
    standing: Standing = "ok"
    if health.failures:
        standing = "aside"
    elif health.behind:
        standing = "behind"
    elif now < health.faulty_until:
        standing = "faulty"
    elif now < health.slow_until:
        standing = "slow"
    elif health.latency_seconds is None:
        standing = "unasked"
    back_in_seconds = max(0.0, health.aside_until - now) if health.failures else 0.0
    return EndpointHealth(index, standing, health.height, health.latency_seconds, back_in_seconds)


Named = TypeVar("Named")


def order(endpoints: Iterable[tuple[Named, Health]], now: float) -> list[Named]:
    """Healthy endpoints as configured (slow ones, faulty ones and those behind after the others), then those put aside,
    soonest back first. Those whose circuit is open are left out, so that nobody waits for them."""
    listed = list(endpoints)
    healthy = [(name, health) for name, health in listed if not health.failures]
    aside = [(name, health) for name, health in listed if health.failures and now >= health.open_until]
    healthy.sort(key=lambda entry: entry[1].behind or now < max(entry[1].slow_until, entry[1].faulty_until))
    aside.sort(key=lambda entry: entry[1].aside_until)
    return [name for name, _ in healthy + aside]


def seconds_until_open(healths: Sequence[Health], now: float) -> float:
    """When the first of them may be asked again."""
    return max(0.0, min(health.open_until for health in healths) - now)


def behind(heights: Mapping[Named, int], max_lag_blocks: int) -> set[Named]:
    """Who is more than `max_lag_blocks` below the height that most agree on (of two, the higher).

    The median, so that one endpoint which claims an absurd height cannot push the others down.
    """
    if len(heights) < 2:
        return set()
    values = sorted(heights.values())
    agreed = max(values) if len(values) == 2 else median_low(values)
    return {name for name, height in heights.items() if agreed - height > max_lag_blocks}
