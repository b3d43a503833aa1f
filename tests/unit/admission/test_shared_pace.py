"""Buckets that workers take from together: simulated workers, each with a clock of its own, and a Redis with another.

What is proved here holds for any load: a client gets its burst and rate once, and for each worker what that one let in
between two exchanges; and nobody who keeps to burst and rate is refused, however the load is spread.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.admission.buckets import Buckets
from provider.admission.shared_pace import MAX_DEBT_SECONDS, Charge, SharedPace
from provider.redis.rate_limits import EARLY_SECONDS, INTERVAL_SECONDS, SLACK_SECONDS
from tests.support.pace_model import PaceModel

CLIENT = b"\xc0\x00\x02\x01"
STEP_SECONDS = 0.005
# With an interval and the exchange before it, this is what the slack is good for.
LONGEST_EXCHANGE = 0.15
# Who keeps to burst and rate stays a little below, since clocks are floats.
LESS = 0.9999
REDIS_CLOCK = 1_790_000_000.0


def pace_of(buckets: Buckets) -> tuple[SharedPace, list[bool]]:
    woken: list[bool] = []
    return SharedPace("paid", buckets, wake=woken.append), woken


@dataclass
class Worker:
    """One worker, as `SharedLimits` runs it, with exchanges that take their time and may be lost."""

    redis: PaceModel
    buckets: Buckets
    clock: float
    random: Random
    longest_exchange: float
    loss: float
    admitted: int = 0
    # The most that it let in between telling and hearing what others had told until then, twice over.
    blind: int = 0
    _pace: SharedPace = field(init=False)
    _due: float | None = None
    _early: float = 0.0
    _asked: tuple[float, float, float, Sequence[Charge]] | None = None
    _left: float | None = None
    _marks: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        self._pace = SharedPace("paid", self.buckets, wake=self._wake)
        self._now = 0.0

    def _wake(self, urgent: bool) -> None:
        if self._due is None:
            self._due, self._early = self._now + INTERVAL_SECONDS, self._now + EARLY_SECONDS
        if urgent:
            self._due = max(self._early, self._now)

    def ask(self, now: float) -> bool:
        self._now = now
        is_in = self.buckets.take(CLIENT, self.clock + now) == 0.0
        self.admitted += is_in
        return is_in

    def turn(self, now: float) -> None:
        self._now = now
        if self._asked is not None:
            self._exchange(now, *self._asked)
        elif self._due is not None and now >= self._due and self._pace.has_pending:
            there = self.random.uniform(0, self.longest_exchange / 2)
            back = self.random.uniform(0, self.longest_exchange / 2)
            self._asked = now, now + there, now + there + back, self._pace.take(10)
            self._left = None

    def _exchange(self, now: float, asked: float, there: float, back: float, charges: Sequence[Charge]) -> None:
        if self._left is None and now >= there:
            self._left = 0.0
            if self.random.random() >= self.loss:
                (charge,) = charges
                age = self.clock + asked - charge.since
                self._left = self.redis.take(
                    "key", REDIS_CLOCK + now, age=age, cost=charge.cost_seconds, most=self._pace.most_seconds
                )
        if now >= back:
            self.blind = max(self.blind, self.admitted - self._marks[0])
            self._marks = [self._marks[1], self.admitted]
            if self.random.random() >= self.loss and self._left is not None:
                self._pace.apply(CLIENT, self.clock + asked + self._left)
            self._asked = None
            self._due = None
            if self._pace.has_pending:
                self._due, self._early = now + INTERVAL_SECONDS, now + EARLY_SECONDS


def workers_of(
    number: int,
    rate: float,
    burst: int,
    *,
    seed: int = 0,
    longest_exchange: float = LONGEST_EXCHANGE,
    loss: float = 0.0,
) -> list[Worker]:
    redis, random = PaceModel(), Random(seed)
    return [
        Worker(
            redis,
            Buckets(rate=rate, burst=burst, max_clients=10),
            random.uniform(0, 1e6),
            random,
            longest_exchange,
            loss,
        )
        for _ in range(number)
    ]


def run(workers: Sequence[Worker], seconds: float, load: Callable[[float], None]) -> None:
    for step in range(int(seconds / STEP_SECONDS)):
        now = step * STEP_SECONDS
        for worker in workers:
            worker.turn(now)
        load(now)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 6),
    rate=st.integers(1, 200),
    burst=st.integers(1, 300),
    seed=st.integers(0, 1 << 32),
    tries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=40),
)
def test_a_client_has_its_burst_and_rate_once_and_what_workers_let_in_between_exchanges(
    number: int, rate: int, burst: int, seed: int, tries: list[tuple[int, int]]
) -> None:
    workers = workers_of(number, rate, burst, seed=seed)

    def load(now: float) -> None:
        # Each phase of 80 ms has a worker of its own, so that some are left alone for long.
        place, requests = tries[int(now / 0.08) % len(tries)]
        for _ in range(requests):
            workers[place % number].ask(now)

    seconds = 3.0
    run(workers, seconds, load)
    allowed = burst + rate * (seconds + SLACK_SECONDS + LONGEST_EXCHANGE) + sum(worker.blind for worker in workers)
    assert sum(worker.admitted for worker in workers) <= allowed + number


@pytest.mark.parametrize("number", [2, 4, 8])
def test_who_hammers_at_all_workers_gets_little_more_than_one_burst(number: int) -> None:
    """At 1000 requests a second for each worker, with the defaults of downloads, and Redis a millisecond away."""
    rate, burst = 100, 1000
    workers = workers_of(number, rate, burst, longest_exchange=0.002)
    by_second: list[int] = []

    def load(now: float) -> None:
        for worker in workers:
            for _ in range(5):
                worker.ask(now)
        if now % 10 < STEP_SECONDS:
            by_second.append(sum(worker.admitted for worker in workers))

    run(workers, 30.1, load)
    # As docs/limits.md has it: for each worker a tenth of the burst, and what it lets in within 20 ms and two
    # exchanges; and a step of 5 ms here and there.
    blind = number * (burst / 10 + 1000 * 0.035)
    assert by_second[-1] <= burst + rate * (30 + SLACK_SECONDS + 0.2) + blind
    # Over time it is the rate, without what the beginning let in beyond it.
    assert by_second[-1] - by_second[1] <= rate * 20 + number * rate * (INTERVAL_SECONDS + 0.03)
    assert by_second[-1] >= rate * 25


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 5),
    rate=st.integers(1, 100),
    burst=st.integers(1, 100),
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.3]),
)
def test_who_keeps_to_burst_and_rate_is_never_refused(
    number: int, rate: int, burst: int, seed: int, loss: float
) -> None:
    workers = workers_of(number, rate, burst, seed=seed, loss=loss)
    alone = Buckets(rate=rate, burst=burst * LESS, max_clients=1)
    random = Random(seed)
    refused = 0

    def load(now: float) -> None:
        nonlocal refused
        # As much as one bucket for all would let in, at a worker of each request's own choice.
        while random.random() < 0.9 and alone.take(CLIENT, now * LESS) == 0.0:
            refused += not random.choice(workers).ask(now)

    run(workers, 4.0, load)
    assert refused == 0
    assert sum(worker.admitted for worker in workers) > 0


def test_without_an_exchange_each_worker_counts_for_itself_and_nobody_pays_afterwards() -> None:
    workers = workers_of(2, 10, 20, loss=1.0)

    def load(now: float) -> None:
        for worker in workers:
            worker.ask(now)

    run(workers, 3.0, load)
    assert [worker.admitted for worker in workers] == [20 + 30 - 1] * 2
    for worker in workers:
        worker.loss = 0.0
    begun = [worker.admitted for worker in workers]
    run_on(workers, 3.0, 5.0, load)
    assert sum(worker.admitted for worker in workers) - sum(begun) >= 10


def run_on(workers: Sequence[Worker], since: float, until: float, load: Callable[[float], None]) -> None:
    run(workers, until - since, lambda now: load(since + now))


def test_what_was_taken_meanwhile_is_added_to_what_is_heard() -> None:
    buckets = Buckets(rate=10, burst=10, max_clients=10)
    pace, woken = pace_of(buckets)
    buckets.take(CLIENT, 100.0)
    assert pace.take(10) == [Charge(CLIENT, 100.0, 1 / 10)]
    assert not pace.has_pending
    buckets.take(CLIENT, 100.1)
    pace.apply(CLIENT, 100.8)
    assert buckets.wait_seconds(CLIENT, 100.1) == 0.0
    pace.apply(CLIENT, 101.1)
    # 101.1 and the token since: full at 101.2, with a tolerance of 0.9 s.
    assert buckets.wait_seconds(CLIENT, 100.1) == pytest.approx(0.2)
    pace.apply(CLIENT, 100.0)
    assert buckets.wait_seconds(CLIENT, 100.1) == pytest.approx(0.2)
    assert woken == [False, False]


def test_who_takes_a_tenth_of_a_burst_is_told_of_at_once() -> None:
    buckets = Buckets(rate=10, burst=100, max_clients=10)
    _, woken = pace_of(buckets)
    for _ in range(9):
        buckets.take(CLIENT, 0.0)
    assert woken == [False]
    for _ in range(2):
        buckets.take(CLIENT, 0.0)
    assert woken[-1] is True


def test_of_many_clients_those_who_took_most_are_told_first_and_memory_is_bounded() -> None:
    buckets = Buckets(rate=1, burst=100, max_clients=50)
    pace, _ = pace_of(buckets)
    for number in range(200):
        for _ in range(1 + number % 5):
            buckets.take(number.to_bytes(4), 0.0)
    told = pace.take(10)
    # Within a factor of two: finding the ten greatest would look at all of them.
    assert {charge.cost_seconds for charge in told} == {4.0, 5.0}
    assert len(pace.take(1000)) == 40
    assert not pace.has_pending


def test_taking_some_costs_the_same_however_many_wait() -> None:
    def seconds_of_takes(clients: int) -> float:
        buckets = Buckets(rate=1, burst=100, max_clients=clients)
        pace, _ = pace_of(buckets)
        for number in range(clients):
            buckets.take(number.to_bytes(4), 0.0)
        began = time.process_time()
        for _ in range(100):
            assert len(pace.take(5)) == 5
        return time.process_time() - began

    # A hundred times as many clients. Looking at all of them would take as many times longer.
    assert min(seconds_of_takes(50_000) for _ in range(3)) < 20 * max(seconds_of_takes(500) for _ in range(3))


def test_bytes_are_told_as_the_time_they_take() -> None:
    buckets = Buckets(rate=1000, burst=10_000, max_clients=10)
    pace, woken = pace_of(buckets)
    buckets.charge(CLIENT, 5.0, 25_000)
    assert pace.take(1) == [Charge(CLIENT, 5.0, 25.0)]
    assert woken == [False, True]
    assert pace.most_seconds == pytest.approx(10 + MAX_DEBT_SECONDS, abs=0.01)
