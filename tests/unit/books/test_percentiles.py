"""Percentiles in little memory."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.books.percentiles import MAX_COUNT, SLOTS, Sizes


def test_without_values_there_is_none() -> None:
    assert Sizes(1.0).percentile(0.5) is None


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=MAX_COUNT - 1), st.floats(0.01, 1.0))
def test_a_percentile_is_right_within_its_factor(values: list[float], share: float) -> None:
    sizes = Sizes(0.0005)
    for value in values:
        sizes.add(value)
    exact = sorted(values)[max(0, -(-int(share * len(values) * 1e9) // 10**9) - 1)]
    # Rounding may choose the neighbour.
    near = [sorted(values)[min(len(values) - 1, sorted(values).index(exact) + step)] for step in (0, 1)]
    found = sizes.percentile(share)
    assert found is not None
    assert min(near) / 1.42 <= found <= max(near) * 1.42


@given(st.lists(st.floats(0, 1e300), max_size=50))
def test_every_value_has_a_place(values: list[float]) -> None:
    sizes = Sizes(0.0005)
    for value in values:
        sizes.add(value)
    assert len(sizes.counts) == SLOTS
    assert sum(sizes.counts) == len(values)


def test_old_values_fade() -> None:
    sizes = Sizes(0.0005)
    for value in [0.01] * 5000 + [2.0] * 1000:
        sizes.add(value)
    assert sizes.percentile(0.5) == pytest.approx(2.0, rel=0.42)
    assert sum(sizes.counts) <= MAX_COUNT


def test_workers_are_added_up() -> None:
    random, workers, every = Random(1), [Sizes(0.0005) for _ in range(8)], Sizes(0.0005)
    for _ in range(250):
        value = random.lognormvariate(-2, 1)
        random.choice(workers).add(value)
        every.add(value)
    both = workers[0]
    for other in workers[1:]:
        both.include(other)
    assert both.percentile(0.95) == every.percentile(0.95)
