"""A file is worth caching from its second request within a day on, and a slice once enough of it was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from provider.slices.admission import FETCHED_PER_ASKED, Admission, Demand, Wanted

DAY = 86_400.0


def test_the_second_request_within_a_day_admits() -> None:
    admission = Admission(2)
    assert [admission.admits(b"a", now=now) for now in (0, DAY, DAY + 1)] == [False, True, True]


def test_a_day_without_a_request_begins_anew() -> None:
    admission = Admission(2)
    assert [admission.admits(b"a", now=now) for now in (0, 1, DAY + 2)] == [False, True, False]


def test_the_first_request_admits_if_the_operator_says_so() -> None:
    assert Admission(1).admits(b"a", now=0)


def test_the_longest_unseen_file_is_forgotten_first() -> None:
    admission = Admission(2, max_files=2)
    for key in (b"a", b"b", b"a", b"c"):
        admission.admits(key, now=0)
    assert admission.admits(b"a", now=0)
    assert not admission.admits(b"b", now=0)


def test_a_slice_is_fetched_once_an_eighth_of_it_was_asked_for() -> None:
    demand = Demand()
    assert demand.pays_for([Wanted("a", 1 << 20, 8 << 20)])
    assert [demand.pays_for([Wanted("a", 1 << 19, 8 << 20)]) for _ in range(3)] == [False, True, False]


def test_what_is_there_costs_nothing() -> None:
    assert Demand().pays_for([])


def test_the_slice_that_was_not_asked_for_longest_is_forgotten_first() -> None:
    demand = Demand(max_slices=1)
    half = Wanted("a", 1 << 19, 8 << 20)
    assert not demand.pays_for([half])
    assert not demand.pays_for([Wanted("b", 1, 8 << 20)])
    assert not demand.pays_for([half])


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.integers(1, 1 << 20)),
            min_size=1,
            max_size=2,
            unique_by=lambda p: p[0],
        )
    )
)
def test_no_more_is_fetched_than_a_multiple_of_what_was_asked_for(requests: list[list[tuple[str, int]]]) -> None:
    demand, asked, fetched = Demand(), 0, 0
    for request in requests:
        parts = [Wanted(name, count, 1 << 20) for name, count in request]
        asked += sum(max(part.asked_bytes, 4096) for part in parts)
        if demand.pays_for(parts):
            fetched += sum(part.length_bytes for part in parts)
        assert fetched <= FETCHED_PER_ASKED * asked
