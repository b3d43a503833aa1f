"""Token buckets: rate, burst, and memory that does not grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.admission.buckets import Buckets, BytePace


def test_a_burst_passes_and_then_the_rate() -> None:
    buckets = Buckets(rate=10, burst=3, max_clients=10)
    assert [buckets.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a", 100.0) == pytest.approx(0.1)
    assert buckets.take("a", 100.101) == 0.0
    assert buckets.take("a", 100.101) > 0


def test_one_client_does_not_pay_for_another() -> None:
    buckets = Buckets(rate=1, burst=1, max_clients=10)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0.0


def test_who_is_refused_pays_nothing() -> None:
    buckets = Buckets(rate=1, burst=1, max_clients=10)
    buckets.take("a", 0.0)
    for _ in range(1000):
        buckets.take("a", 0.5)
    assert buckets.take("a", 1.0) == 0.0


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten() -> None:
    buckets = Buckets(rate=1, burst=1, max_clients=100)
    for client in range(100):
        buckets.take(client, 0.0)
    buckets.take(0, 0.0)  # seen again, so 1 is the next to go
    buckets.take("new", 0.0)
    assert len(buckets) == 100
    assert buckets.take(0, 0.0) > 0
    assert buckets.take(1, 0.0) == 0.0
    for client in range(10_000):
        buckets.take(f"flood {client}", 0.0)
    assert len(buckets) == 100


@given(
    steps=st.lists(st.floats(min_value=0, max_value=2), min_size=1, max_size=200),
    rate=st.floats(min_value=0.5, max_value=50),
    burst=st.integers(min_value=1, max_value=20),
)
def test_never_more_than_burst_and_rate_allow(steps: list[float], rate: float, burst: int) -> None:
    buckets = Buckets(rate=rate, burst=burst, max_clients=2)
    now, granted = 0.0, 0
    for step in steps:
        now += step
        granted += buckets.take("a", now) == 0.0
    assert granted <= burst + now * rate + 1e-6


def test_bytes_are_paid_afterwards() -> None:
    pace = BytePace(bytes_per_second=400, max_clients=10)
    pace.charge("a", 0.0, 2000)
    assert pace.wait_seconds("a", 0.0) == pytest.approx(10.0, abs=0.1)
    assert pace.wait_seconds("b", 0.0) == 0.0
    assert pace.wait_seconds("a", 11.0) == 0.0


def test_bytes_of_all_have_a_limit_too() -> None:
    pace = BytePace(bytes_per_second=400, max_clients=100)
    for client in range(50):
        pace.charge(client, 0.0, 200)
    assert pace.wait_seconds("new", 0.0) > 0
    assert pace.wait_seconds(None, 0.0) > 0
