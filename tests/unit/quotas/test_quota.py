"""What fits into a quota, and until when it does not."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.quotas.quota import (
    DOWNLOAD,
    HELD_SECONDS,
    NO_LIMITS,
    Amount,
    Body,
    Count,
    Limit,
    Limits,
    Quota,
    Taker,
    decide,
    held_by,
    parse_limits,
    part_of,
    quotas_of,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
TAKER = Taker("0xBuyer", "did:op:1", "service", "0xtx", order_ends_at=int(NOW) + 600)
EVERY = Limits(Limit(1, 10), Limit(2, 20), Limit(3, 30))


def quota(limit: Limit, ends_at: int | None = 2_000_000_000) -> Quota:
    return Quota("consumer", "day", limit, ends_at)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def ends_of(text: str, limits: Limits = EVERY) -> list[str | None]:
    ends = [found.ends_at for found in quotas_of(limits, NO_LIMITS, TAKER, at(text))]
    return [None if end is None else datetime.fromtimestamp(end, UTC).isoformat() for end in ends]


# Which quotas apply


def test_without_limits_there_is_no_quota() -> None:
    assert not quotas_of(NO_LIMITS, NO_LIMITS, TAKER, NOW)


@pytest.mark.parametrize(
    ("now", "day_ends", "month_ends"),
    [
        ("2026-11-30T23:59:59.999+00:00", "2026-12-01", "2026-12-01"),
        ("2026-12-31T23:59:59+00:00", "2027-01-01", "2027-01-01"),
        ("2028-02-28T00:00:00+00:00", "2028-02-29", "2028-03-01"),
        # Midnight in Auckland is noon in UTC, and New Year there comes half a day early.
        ("2027-01-01T00:30:00+13:00", "2027-01-01", "2027-01-01"),
        ("2026-10-25T02:30:00+02:00", "2026-10-26", "2026-11-01"),
    ],
)
def test_days_and_months_end_in_utc(now: str, day_ends: str, month_ends: str) -> None:
    assert ends_of(now)[1:] == [f"{day_ends}T00:00:00+00:00", f"{month_ends}T00:00:00+00:00"]


def test_the_zone_of_the_host_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    before = quotas_of(EVERY, NO_LIMITS, TAKER, NOW)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert quotas_of(EVERY, NO_LIMITS, TAKER, NOW) == before
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2080, 1, 1)))
def test_every_moment_is_in_exactly_one_day_and_month(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC).timestamp()
    _, day, month = quotas_of(EVERY, NO_LIMITS, TAKER, now)
    assert day.ends_at is not None
    assert month.ends_at is not None
    assert now < day.ends_at <= now + 86_400
    assert now < month.ends_at <= now + 31 * 86_400
    assert quotas_of(EVERY, NO_LIMITS, TAKER, day.ends_at - 0.001)[1] == day
    assert quotas_of(EVERY, NO_LIMITS, TAKER, day.ends_at)[1].name != day.name
    assert quotas_of(EVERY, NO_LIMITS, TAKER, month.ends_at)[2].name != month.name


def test_a_clock_that_was_set_back_finds_the_count_of_that_day_again() -> None:
    names = [[found.name for found in quotas_of(EVERY, NO_LIMITS, TAKER, now)] for now in (NOW, NOW + 90_000, NOW)]
    assert names[0] == names[2] != names[1]


def test_an_order_counts_for_its_consumer_and_service_alone() -> None:
    others = [
        TAKER,
        Taker("0xOther", TAKER.did, TAKER.service_id, TAKER.order_tx_id),
        Taker(TAKER.consumer, TAKER.did, "another", TAKER.order_tx_id),
        Taker(TAKER.consumer, TAKER.did, "service\ud800", TAKER.order_tx_id),
    ]
    names = [quotas_of(EVERY, NO_LIMITS, taker, NOW)[0].name for taker in others]
    assert len(set(names)) == 4


def test_a_publisher_can_only_lower() -> None:
    publisher = Limits(Limit(5, 4), NO_LIMITS.order, Limit(0, 31))
    limits = {found.scope: found.limit for found in quotas_of(EVERY, publisher, TAKER, NOW)}
    assert limits == {"order": Limit(1, 4), "consumer": Limit(2, 20), "asset": Limit(3, 30)}


def test_a_publishers_limit_of_a_consumer_counts_this_dataset_alone() -> None:
    found = quotas_of(Limits(consumer_day=Limit(9)), Limits(consumer_day=Limit(2)), TAKER, NOW)
    assert [(one.limit.downloads, one.name.endswith(TAKER.did)) for one in found] == [(9, False), (2, True)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, NO_LIMITS),
        ("quotas", NO_LIMITS),
        ({"quotas": []}, NO_LIMITS),
        ({"quotas": {"downloadsPerOrder": 3}}, Limits(Limit(3))),
        (
            {"quotas": {"bytesPerConsumerAndDay": 7, "downloadsPerMonth": 8, "bytesPerMonth": 9}},
            Limits(consumer_day=Limit(0, 7), asset_month=Limit(8, 9)),
        ),
        *(({"quotas": {"bytesPerOrder": wrong}}, NO_LIMITS) for wrong in (0, -1, 1.5, True, "3", None, 10**30)),
    ],
)
def test_limits_in_a_ddo(raw: object, expected: Limits) -> None:
    assert parse_limits(raw) == expected


# What fits


def test_a_download_begins_while_less_than_the_limit_was_taken() -> None:
    two = quota(Limit(downloads=2))
    for parts, fits in ((0, True), (2 * DOWNLOAD - 1, True), (2 * DOWNLOAD, False), (3 * DOWNLOAD, False)):
        assert (decide([two], [Count(Amount(parts))], Body(5), NOW) is None) is fits


def test_bytes_never_exceed_their_limit() -> None:
    ten = quota(Limit(bytes=10))
    for sent, length, fits in ((0, 10, True), (0, 11, False), (6, 4, True), (6, 5, False), (10, None, False)):
        assert (decide([ten], [Count(Amount(0, sent))], Body(length), NOW) is None) is fits


def test_downloads_in_progress_count_with_what_they_may_still_send_but_end_soon() -> None:
    one = quota(Limit(downloads=1, bytes=10))
    refusal = decide([one], [Count(held=Amount(DOWNLOAD, 10))], Body(5), NOW)
    assert refusal is not None
    assert (refusal.is_held, refusal.until) == (True, NOW + HELD_SECONDS)


def test_the_longest_refusal_is_told() -> None:
    quotas = [quota(Limit(1), ends_at=100), quota(Limit(1), ends_at=None), quota(Limit(1), ends_at=200)]
    used = Count(Amount(DOWNLOAD))
    refusal = decide(quotas, [used] * 3, None, NOW)
    assert refusal is not None
    assert refusal.until is None
    refusal = decide(quotas[::2], [used] * 2, None, NOW)
    assert refusal is not None
    assert refusal.until == 200


def test_the_end_of_an_order_that_is_not_known_yet_is_that_of_its_count() -> None:
    refusal = decide([quota(Limit(1), ends_at=None)], [Count(Amount(DOWNLOAD), ends_at=77)], None, NOW)
    assert refusal is not None
    assert refusal.until == 77


def test_something_that_is_left_is_told_apart_from_nothing() -> None:
    ten = [quota(Limit(bytes=10))]
    left = [decide(ten, [Count(Amount(0, sent))], Body(9), NOW) for sent in (5, 10)]
    assert [refusal is not None and refusal.is_partly_left for refusal in left] == [True, False]


def test_a_body_of_unknown_length_holds_all_that_is_left() -> None:
    quotas = [quota(Limit(bytes=10)), quota(Limit(bytes=100)), quota(Limit(downloads=1))]
    counts = [Count(Amount(0, 2), Amount(0, 3)), Count(), Count()]
    assert held_by(Body(None), quotas, counts) == Amount(DOWNLOAD, 5)
    assert held_by(Body(None), quotas[2:], counts[2:]) == Amount(DOWNLOAD, 0)
    assert held_by(Body(7), quotas, counts) == Amount(DOWNLOAD, 7)


# What counts


def test_a_cut_download_counts_as_what_was_sent() -> None:
    assert [Body(1000).sent(sent) for sent in (0, 1, 250, 1000)] == [
        Amount(),
        Amount(1000, 1),
        Amount(DOWNLOAD // 4, 250),
        Amount(DOWNLOAD, 1000),
    ]
    assert Body(None).sent(1) == Amount(DOWNLOAD, 1)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30), st.integers(1, 10_000))
def test_ranges_count_as_their_share_and_never_as_less(cuts: list[int], total: int) -> None:
    edges = sorted({0, total, *(cut for cut in cuts if cut < total)})
    parts = [part_of(end - start, total).sent(end - start) for start, end in pairwise(edges)]
    assert sum(part.bytes for part in parts) == total
    # Rounding costs at most a millionth for each range.
    assert DOWNLOAD <= sum(part.parts for part in parts) <= DOWNLOAD + 2 * len(parts)


def test_repeated_ranges_count_again() -> None:
    once = part_of(10, 100).sent(10)
    assert (once.parts * 10, once.bytes * 10) == (DOWNLOAD, 100)


def test_a_range_of_a_file_of_unknown_length_counts_as_a_download() -> None:
    assert part_of(10, None) == Body(10, DOWNLOAD)


def test_times_zones_are_equal_moments() -> None:
    here = datetime(2026, 11, 30, 23, tzinfo=timezone(timedelta(hours=-5))).timestamp()
    assert quotas_of(EVERY, NO_LIMITS, TAKER, here) == quotas_of(
        EVERY, NO_LIMITS, TAKER, at("2026-12-01T04:00:00+00:00")
    )
