"""Rates, ratios and quantiles of the dashboard."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.admin.dashboard.frame import picture, point
from provider.admin.dashboard.sample import Moment, Reading, Window, by, grown, quantile, reading_of, total
from provider.books.health import Health
from provider.observability.metrics import Metrics
from provider.observability.metrics.values import merge
from tests.support.books import NOW, did, use

BOUNDS = ("0.01", "0.1", "1.0", "+Inf")


def worker(
    pid: int,
    at: float,
    sent_bytes: int,
    streams: Sequence[Mapping[str, Any]] = (),
    *,
    files: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Figures as one worker leaves them."""
    return {
        "files": list(files),
        "errors": [],
        "pid": pid,
        "at": at,
        "sent_bytes": sent_bytes,
        "cpu_seconds": at / 10,
        "rss_bytes": 50_000_000,
        "stream_count": len(streams),
        "streams": list(streams),
    }


def window_of(*moments: tuple[float, Reading, Sequence[Mapping[str, Any]]]) -> Window:
    window = Window()
    for moment in moments:
        window.add(Moment(*moment))
    return window


def requests(count: int, status: str = "200") -> Reading:
    return {"provider_requests_total": [({"endpoint": "download", "status": status}, count)]}


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile(0.5, {}) is None
    assert quantile(0.5, dict.fromkeys(BOUNDS, 0.0)) is None


def test_quantile_lies_within_its_bucket() -> None:
    assert quantile(0.5, {"0.01": 0, "0.1": 10, "1.0": 10, "+Inf": 10}) == pytest.approx(0.055)


def test_what_is_beyond_all_bounds_is_told_as_the_last() -> None:
    assert quantile(0.99, {"0.01": 0, "0.1": 0, "1.0": 0, "+Inf": 5}) == 1.0


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 0.99))
def test_quantiles_grow_with_their_rank(counts: list[int], rank: float) -> None:
    total, buckets = 0, {}
    for bound, count in zip(BOUNDS, counts, strict=True):
        total += count
        buckets[bound] = float(total)
    low, high = quantile(rank / 2, buckets), quantile(rank, buckets)
    assert (low is None) == (high is None) == (total == 0)
    if low is not None and high is not None:
        assert low <= high or math.isclose(low, high)


def test_a_counter_that_began_anew_has_not_shrunk() -> None:
    assert grown({"a": 3.0, "b": 1.0}, {"a": 5.0}) == {"a": 0.0, "b": 1.0}


def test_first_picture_knows_no_rates() -> None:
    shown = point(window_of((0.0, requests(70), [worker(1, 0.0, 500)])), 1000.0)
    assert (shown["requests"], shown["throughput"], shown["cpu"]) == (None, None, None)
    assert shown["rss_bytes"] == 50_000_000


def test_rates_are_those_of_the_last_seconds() -> None:
    window = window_of(
        (0.0, requests(0), [worker(1, 0.0, 0)]),
        (20.0, requests(1000), [worker(1, 20.0, 0)]),
        (21.0, requests(1010), [worker(1, 21.0, 4000)]),
        (22.0, requests(1020), [worker(1, 22.0, 8000)]),
    )
    shown = point(window, 1000.0)
    assert (shown["requests"], shown["throughput"]) == (10.0, 4000.0)


def test_each_worker_is_rated_by_its_own_clock() -> None:
    window = window_of(
        (0.0, {}, [worker(1, 0.0, 0), worker(2, -0.5, 0)]),
        (1.0, {}, [worker(1, 1.0, 1000), worker(2, 1.0, 3000)]),
    )
    assert window.worker_rates("sent_bytes") == {1: 1000.0, 2: 2000.0}


def test_worker_that_has_just_come_adds_nothing_yet() -> None:
    window = window_of((0.0, {}, [worker(1, 0.0, 0)]), (1.0, {}, [worker(1, 1.0, 10), worker(2, 1.0, 10**9)]))
    assert point(window, 0.0)["throughput"] == 10.0


def test_each_failure_counts_for_the_side_that_is_at_fault() -> None:
    """Whatever its status: a file that is gone is answered with 400."""
    later: Reading = {
        "provider_errors_total": [
            ({"code": "order_expired", "fault": "consumer"}, 4.0),
            ({"code": "upstream_refused", "fault": "origin"}, 2.0),
            ({"code": "internal", "fault": "ours"}, 1.0),
        ]
    }
    window = window_of((0.0, {}, [worker(1, 0.0, 0)]), (2.0, later, [worker(1, 2.0, 0)]))
    shown, totals = point(window, 0.0), picture(window, [], {}, 0.0)["totals"]
    assert (shown["consumer_faults"], shown["origin_faults"], shown["our_faults"]) == (2.0, 1.0, 0.5)
    assert (totals["consumer_faults"], totals["origin_faults"], totals["our_faults"]) == (4.0, 2.0, 1.0)


def test_datasets_of_all_workers_are_shown_with_what_helps() -> None:
    workers = []
    for pid, outcome in ((1, "upstream_refused"), (2, "upstream_refused"), (3, "consumer_gone")):
        health = Health()
        health.note(use(outcome=outcome))
        workers.append(worker(pid, 1.0, 0, files=health.worth_showing(NOW, 5)))
    (row,) = picture(window_of((1.0, {}, workers)), [], {}, NOW + 10)["datasets"]
    assert (row["did"], row["uses"], row["failures_in_a_row"], row["is_failing"]) == (did(1), 3, 2, True)
    assert (row["code"], row["failed_seconds_ago"]) == ("upstream_refused", 10)
    assert row["remedy"].startswith("Publisher: check that the file")


def test_streams_are_listed_with_the_oldest_first_and_their_rates() -> None:
    def stream(number: int, age: float, sent: int) -> dict[str, Any]:
        named = {"endpoint": "download", "path": "copy", "waits_for": "", "did": did(1), "length_bytes": 1000}
        return {"number": number, "age_seconds": age, "sent_bytes": sent, **named}

    window = window_of(
        (0.0, {}, [worker(1, 0.0, 0, [stream(1, 5.0, 100)])]),
        (1.0, {}, [worker(1, 1.0, 0, [stream(2, 0.5, 50), stream(1, 6.0, 400)])]),
    )
    shown = picture(window, [], {}, 0.0)["streams"]
    assert [(row["number"], row["rate"]) for row in shown] == [(1, 300.0), (2, 100.0)]
    assert [(row["share"], row["left_seconds"]) for row in shown] == [(0.4, 2.0), (0.05, 9.5)]


def test_rates_between_moments_that_are_far_apart_are_those_of_the_last_two() -> None:
    window = window_of(
        *((at, requests(count), [worker(1, at, 0)]) for at, count in ((0.0, 0), (10.0, 50), (20.0, 250)))
    )
    assert window.rates("provider_requests_total", "status") == {"200": 20.0}


def test_old_moments_are_forgotten() -> None:
    window = window_of(*((float(at), {}, []) for at in range(200)))
    assert len(window.moments) <= 63


def test_figures_of_the_recorder_are_understood() -> None:
    metrics = Metrics()
    before = reading_of(merge([metrics.snapshot()]))
    for seconds in (0.00006, 0.00007, 0.2):
        metrics.streams.first_byte_seconds.observe(seconds, "download")
    metrics.requests.answer("download", 200, 0.01)
    metrics.requests.answer("nonce", 400, 0.01)
    metrics.requests.fail("nonce_refused")
    window = window_of(
        (0.0, before, [worker(1, 0.0, 0)]), (1.0, reading_of(merge([metrics.snapshot()])), [worker(1, 1.0, 0)])
    )
    shown, tables = point(window, 0.0), picture(window, [], {}, 0.0)
    assert (shown["requests"], shown["consumer_faults"]) == (2.0, 1.0)
    median = shown["first_byte_p50"]
    assert median is not None
    assert 0 < median <= 0.0005
    (code,) = tables["codes"]
    assert (code["code"], code["fault"], code["total"], code["recent"]) == ("nonce_refused", "consumer", 1.0, 1.0)
    assert code["remedy"]
    assert {row["endpoint"]: row["total"] for row in tables["requests"]} == {"download": 1.0, "nonce": 1.0}


def test_readings_with_the_same_labels_share_them_and_hold_only_numbers() -> None:
    metrics = Metrics()
    metrics.requests.answer("download", 200, 0.01)
    before = reading_of(merge([metrics.snapshot()]))
    metrics.requests.answer("download", 200, 0.01)
    after = reading_of(merge([metrics.snapshot()]), before)
    assert after.layout is before.layout
    assert (total(before, "provider_requests_total"), total(after, "provider_requests_total")) == (1.0, 2.0)
    metrics.requests.answer("download", 416, 0.01)
    more = reading_of(merge([metrics.snapshot()]), after)
    assert by(more, "provider_requests_total", "status")["416"] == 1.0
    assert by(after, "provider_requests_total", "status").get("416", 0.0) == 0.0
    assert set(after) <= set(more)
    assert len(more) == len(list(more))
