"""S3-FIFO: what is used again stays, one scan does not drive it out, and what is in use is never evicted."""

from hypothesis import given
from hypothesis import strategies as st

from provider.slices.eviction import Eviction


def nobody(name: str) -> bool:
    return False


def filled(*names: str, size: int = 1) -> Eviction:
    found = Eviction()
    for name in names:
        found.add(name, size)
    return found


def test_the_oldest_unused_slice_leaves_first() -> None:
    queues = filled("a", "b", "c")
    queues.use("a")
    assert [queues.evict(nobody), queues.evict(nobody)] == ["b", "c"]


def test_a_used_slice_outlives_a_scan_of_ten_times_the_cache() -> None:
    queues = filled(*(f"hot{number}" for number in range(50)))
    for name in queues:
        queues.use(name)
    for number in range(1000):
        queues.add(f"scan{number}", 1)
        while len(queues) > 100:
            queues.evict(nobody)
    assert sum(name.startswith("hot") for name in queues) == 50


def test_a_slice_that_comes_back_soon_starts_in_the_main_queue() -> None:
    queues = filled("a", "b")
    assert queues.evict(nobody) == "a"
    queues.add("a", 1)
    queues.add("c", 1)
    assert [queues.evict(nobody) for _ in range(2)] == ["b", "c"]


def test_slices_in_use_stay() -> None:
    queues = filled("a", "b", "c")
    assert queues.evict(lambda name: name != "b") == "b"
    assert queues.evict(lambda name: True) is None
    assert len(queues) == 2


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 20), st.integers(1, 100)),
            st.tuples(st.sampled_from(["use", "remove", "evict"]), st.integers(0, 20), st.just(0)),
        ),
        max_size=200,
    )
)
def test_bytes_and_names_are_those_of_a_plain_table(steps: list[tuple[str, int, int]]) -> None:
    queues, table = Eviction(), dict[str, int]()
    for step, number, size in steps:
        name = str(number)
        if step == "add":
            queues.add(name, size)
            table[name] = size
        elif step == "use":
            queues.use(name)
        elif step == "remove":
            queues.remove(name)
            table.pop(name, None)
        else:
            gone = queues.evict(nobody)
            assert (gone is None) == (not table)
            table.pop(gone or "", None)
        assert queues.bytes == sum(table.values())
        assert set(queues) == set(table)
        assert len(queues) == len(table)
