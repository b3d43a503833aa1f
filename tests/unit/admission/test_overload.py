"""When work is refused because the loop is late, and when no longer."""

from provider.admission.overload import INTERVAL_SECONDS, LEAST_AT_WORK, QUEUE_AT_WORK, QUIET_SECONDS, Overload

TICK = 0.01
MANY = 10_000


def run(overload: Overload, *, lag_seconds: float, seconds: float, at_work: int = MANY, since: float = 0.0) -> float:
    """Ticks for a time, with one request offered at each; the time then."""
    for _ in range(round(seconds / TICK)):
        since += TICK
        overload.is_full(at_work)
        overload.tick(since, lag_seconds, at_work)
    return since


def late() -> tuple[Overload, float]:
    overload = Overload(lag_seconds=0.05)
    now = run(overload, lag_seconds=0.06, seconds=INTERVAL_SECONDS + 5 * TICK)
    assert overload.limit is not None
    return overload, now


def test_nothing_is_refused_while_the_loop_is_in_time() -> None:
    overload = Overload(lag_seconds=0.05)
    run(overload, lag_seconds=0.04, seconds=5)
    assert not overload.is_full(MANY)


def test_a_late_loop_with_few_requests_at_work_is_no_overload() -> None:
    overload = Overload(lag_seconds=0.05)
    run(overload, lag_seconds=1.0, seconds=5, at_work=QUEUE_AT_WORK - 1)
    assert not overload.is_full(MANY)


def test_bursts_are_no_overload() -> None:
    overload, now = Overload(lag_seconds=0.05), 0.0
    for _ in range(20):
        now = run(overload, lag_seconds=0.5, seconds=INTERVAL_SECONDS * 0.9, since=now)
        now = run(overload, lag_seconds=0.5, seconds=TICK, at_work=0, since=now)
    assert not overload.is_full(MANY)


def test_a_burst_after_a_silence_is_no_overload() -> None:
    overload = Overload(lag_seconds=0.05)
    now = run(overload, lag_seconds=0.0, seconds=TICK, at_work=0)
    run(overload, lag_seconds=0.5, seconds=INTERVAL_SECONDS * 0.9, since=now + 1000.0)
    assert not overload.is_full(MANY)


def test_long_turns_are_an_overload_though_some_timers_come_in_time() -> None:
    """A timer that is due near the end of a turn is hardly late, however long the turn was."""
    overload, now = Overload(lag_seconds=0.05), 0.0
    while now < 2 * INTERVAL_SECONDS:
        now = run(overload, lag_seconds=0.12, seconds=TICK, since=now)
        now = run(overload, lag_seconds=0.001, seconds=TICK, since=now)
    assert overload.is_full(MANY)


def test_a_standing_delay_is_an_overload() -> None:
    overload, _ = late()
    assert overload.is_full(MANY)
    assert not overload.is_full(0)


def test_the_limit_falls_while_the_loop_is_late_but_not_to_nothing() -> None:
    overload, now = late()
    run(overload, lag_seconds=0.06, seconds=10, at_work=MANY, since=now)
    assert overload.limit == LEAST_AT_WORK


def test_the_limit_rises_while_the_loop_is_in_time_and_somebody_is_refused() -> None:
    overload, now = late()
    before = overload.limit
    run(overload, lag_seconds=0.001, seconds=0.9, at_work=MANY, since=now)
    assert overload.limit is not None
    assert before is not None
    assert overload.limit > before


def after_steps(*, late_of_ten: int) -> tuple[float, float]:
    """The limit before and after a second in which so many of ten ticks were late."""
    overload, now = late()
    before = overload.limit
    for number in range(200):
        now += 0.005
        overload.is_full(MANY)
        overload.tick(now, 0.006 if number % 10 < late_of_ten else 0.001, MANY)
    assert before is not None
    assert overload.limit is not None
    return before, overload.limit


def test_three_late_turns_of_ten_lower_the_limit() -> None:
    """Refusals wait for the longest turns, not for the average one."""
    before, after = after_steps(late_of_ten=3)
    assert after < before


def test_a_single_late_turn_does_not() -> None:
    before, after = after_steps(late_of_ten=1)
    assert after > before


def test_it_is_over_when_nobody_had_to_be_refused_for_a_while() -> None:
    overload, now = late()
    run(overload, lag_seconds=0.0, seconds=QUIET_SECONDS + 1, at_work=0, since=now)
    assert overload.limit is None


def test_zero_means_never() -> None:
    overload = Overload(lag_seconds=0.0)
    run(overload, lag_seconds=10.0, seconds=5)
    assert not overload.is_full(MANY)
