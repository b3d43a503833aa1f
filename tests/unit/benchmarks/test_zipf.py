from collections import Counter
from itertools import islice

import pytest

from benchmarks.zipf import Trace, hit_ratio


def test_a_seed_makes_one_trace_and_another_seed_another():
    first, again, other = (list(islice(Trace(100, 0.8, seed).reads(), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert all(0 <= read < 100 for read in first)


def test_the_most_wanted_slice_is_read_as_often_as_zipf_says():
    counts = Counter(islice(Trace(50, 1.0, 3).reads(), 40_000))
    ordered = [count for _, count in counts.most_common()]
    assert ordered[0] / ordered[9] == pytest.approx(10, rel=0.2)
    assert len(counts) == 50


def test_a_larger_cache_answers_more_and_one_for_everything_all_that_was_read_before():
    trace = Trace(400, 0.8, 4)
    small, large, whole = (hit_ratio(trace, kept, 20_000) for kept in (20, 100, 400))
    assert small < large < whole == pytest.approx(1, abs=0.001)
    # The best that any cache can do is to keep what is wanted most.
    weights = [1 / rank**0.8 for rank in range(1, 401)]
    assert large <= sum(weights[:100]) / sum(weights) + 0.02
