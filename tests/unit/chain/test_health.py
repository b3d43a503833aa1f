"""Which endpoints are asked, and in which order."""

import pytest

from provider.chain.health import (
    FAULTY_AFTER,
    FAULTY_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    OPEN_AFTER_FAILURES,
    SLOW_AFTER_LOSSES,
    SLOW_SECONDS,
    Health,
    behind,
    order,
    seconds_until_open,
    tell,
)


def ordered(*healths: Health, now: float = 0.0) -> list[int]:
    return order(enumerate(healths), now)


def failed(times: int, *, retry_after_seconds: float | None = None) -> Health:
    """An endpoint that failed at the end of each of its pauses; the last failure is at time 0."""
    health = Health()
    for _ in range(times):
        health.ejected_until = -1.0
        health.fail(0.0, retry_after_seconds=retry_after_seconds)
    return health


def test_healthy_endpoints_are_asked_as_configured() -> None:
    assert ordered(Health(), Health(), Health()) == [0, 1, 2]


def test_one_ejected_is_asked_after_the_healthy_ones_and_again_first_once_it_recovered() -> None:
    ejected = failed(1)
    assert ordered(ejected, Health()) == [1, 0]
    ejected.recover()
    assert ordered(ejected, Health()) == [0, 1]


def test_of_those_ejected_the_soonest_back_comes_first() -> None:
    assert ordered(failed(2), failed(1)) == [1, 0]


def test_pause_grows_up_to_its_limit_and_an_outage_counts_once() -> None:
    health, pauses = Health(), []
    for _ in range(8):
        health.ejected_until = -1.0
        pauses.append(health.fail(0.0))
        assert health.fail(0.5) is None
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_after_several_failures_nobody_waits_for_it_until_its_pause_is_over() -> None:
    health = failed(OPEN_AFTER_FAILURES)
    assert ordered(failed(OPEN_AFTER_FAILURES - 1)) == [0]
    assert ordered(health, now=health.ejected_until - 0.1) == []
    assert ordered(health, now=health.ejected_until) == [0]
    assert seconds_until_open([health], 1.0) == health.ejected_until - 1.0
    assert seconds_until_open([health, Health()], 1.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(30.0, 30.0), (0.0, FIRST_PAUSE_SECONDS), (1e9, LONGEST_RETRY_AFTER_SECONDS)],
    ids=["as asked", "not shorter than ours", "bounded"],
)
def test_one_that_asks_for_patience_is_left_alone_that_long(asked: float, kept: float) -> None:
    health = failed(1, retry_after_seconds=asked)
    assert health.ejected_until == kept
    assert ordered(health, now=kept - 0.1) == []


def test_patience_asked_for_within_an_outage_holds_if_it_ends_later() -> None:
    health = failed(1)
    assert health.fail(0.5, retry_after_seconds=30.0) is None
    assert (health.failures, health.ejected_until) == (1, 30.5)
    assert ordered(health, now=30.4) == []
    assert health.fail(1.0, retry_after_seconds=2.0) is None
    assert health.ejected_until == 30.5
    assert health.fail(1.0, retry_after_seconds=1e9) is None
    assert health.ejected_until == 1.0 + LONGEST_RETRY_AFTER_SECONDS


def test_one_that_is_beaten_again_and_again_is_asked_later_for_a_while() -> None:
    slow = Health()
    for _ in range(SLOW_AFTER_LOSSES - 1):
        slow.lose(0.0)
    assert ordered(slow, Health()) == [0, 1]
    slow.lose(0.0)
    assert ordered(slow, Health()) == [1, 0]
    assert ordered(slow, Health(), now=SLOW_SECONDS) == [0, 1]


def test_a_win_clears_the_losses() -> None:
    health = Health()
    for _ in range(SLOW_AFTER_LOSSES * 2):
        health.lose(0.0)
        health.win()
    assert ordered(health, Health()) == [0, 1]


def test_one_that_is_behind_is_asked_after_the_others() -> None:
    assert ordered(Health(behind=True), Health()) == [1, 0]


@pytest.mark.parametrize(
    ("heights", "late"),
    [
        ({}, set()),
        ({0: 5}, set()),
        ({0: 100, 1: 110}, set()),
        ({0: 100, 1: 111}, {0}),
        ({0: 100, 1: 100, 2: 10**18}, set()),
        ({0: 80, 1: 100, 2: 101}, {0}),
        ({0: 80, 1: 81, 2: 100, 3: 101}, set()),
    ],
    ids=["none", "alone", "close", "behind the higher of two", "one that lies", "behind two", "no majority"],
)
def test_who_is_behind(heights: dict[int, int], late: set[int]) -> None:
    assert behind(heights, 10) == late


def test_what_is_told_names_the_worst_first() -> None:
    lost = Health(latency_seconds=0.1)
    for _ in range(SLOW_AFTER_LOSSES):
        lost.lose(0.0)
    healths = (failed(1), Health(behind=True), lost, Health(), Health(latency_seconds=0.1))
    told = [tell(0, health, 0.0).standing for health in healths]
    assert told == ["ejected", "behind", "slow", "unasked", "ok"]


def test_one_ejected_tells_when_it_is_back() -> None:
    told = [tell(3, failed(1), now) for now in (0.0, FIRST_PAUSE_SECONDS + 1)]
    assert [one.back_in_seconds for one in told] == [FIRST_PAUSE_SECONDS, 0.0]
    assert {(one.index, one.standing) for one in told} == {(3, "ejected")}


def test_an_endpoint_that_others_outdo_is_asked_later_for_a_while_and_never_ejected() -> None:
    ill, well = Health(), Health()
    for _ in range(FAULTY_AFTER - 1):
        ill.fault(100.0)
    assert order([("ill", ill), ("well", well)], 100.0) == ["ill", "well"]
    ill.fault(100.0)
    assert order([("ill", ill), ("well", well)], 100.0) == ["well", "ill"]
    assert tell(0, ill, 100.0).standing == "faulty"
    assert not ill.failures
    later = 100.0 + FAULTY_SECONDS
    assert order([("ill", ill), ("well", well)], later) == ["ill", "well"]


def test_faults_far_apart_do_not_add_up() -> None:
    ill = Health()
    for number in range(10):
        ill.fault(number * (FAULTY_SECONDS + 1))
    assert ill.faulty_until == 0.0
