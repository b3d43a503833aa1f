"""How many calls are sent in one request."""

from hypothesis import given
from hypothesis import strategies as st

from provider.chain.batch_size import RETRY_SECONDS, BatchSize


def test_all_calls_go_together_until_that_is_refused() -> None:
    size = BatchSize()
    assert size.most(0.0) is None
    size.worked(50)
    assert size.most(0.0) is None


@given(takes=st.integers(1, 60), wanted=st.integers(2, 60))
def test_the_largest_size_that_works_is_found(takes: int, wanted: int) -> None:
    size = BatchSize()
    for _ in range(12):
        sent = min(wanted, size.most(0.0) or wanted)
        if sent <= takes:
            size.worked(sent)
        elif sent > 1:
            size.refused(sent, 0.0)
    assert size.is_settled
    assert min(wanted, size.most(0.0) or wanted) == min(wanted, takes)


def test_a_refusal_is_forgotten_after_ten_minutes() -> None:
    size = BatchSize()
    size.refused(2, 100.0)
    assert size.most(100.0 + RETRY_SECONDS - 1) == 1
    assert size.most(100.0 + RETRY_SECONDS) is None


def test_a_size_that_works_after_all_is_not_refused_any_longer() -> None:
    size = BatchSize()
    size.refused(3, 0.0)
    size.worked(5)
    assert size.most(1.0) == 5
