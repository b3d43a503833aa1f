"""When memory goes back to the system."""

from collections.abc import Sequence

from provider.process.memory import CALM_LOOKS, LEFT_STREAMS, Heap, give_back


def given_back(numbers: Sequence[int]) -> list[int]:
    """The looks, counted from 0, after which memory was given back."""
    given: list[int] = []
    look = 0
    heap = Heap(lambda: numbers[look], lambda: given.append(look))
    for look in range(len(numbers)):  # noqa: B007 - the lambdas read it
        heap.look()
    return given


def test_memory_goes_back_once_when_many_have_left_and_no_more_leave() -> None:
    leaving = [3 * LEFT_STREAMS, 2 * LEFT_STREAMS, LEFT_STREAMS, 7]
    assert given_back([*leaving, *[7] * (3 * CALM_LOOKS)]) == [len(leaving) - 1 + CALM_LOOKS]


def test_nothing_is_done_while_streams_still_leave() -> None:
    assert not given_back(range(10 * LEFT_STREAMS, 0, -LEFT_STREAMS))


def test_few_that_leave_are_no_reason() -> None:
    assert not given_back([LEFT_STREAMS, *[1] * (3 * CALM_LOOKS)])


def test_few_that_leave_again_and_again_are_one() -> None:
    half = [LEFT_STREAMS // 2] * (2 * CALM_LOOKS)
    assert given_back([LEFT_STREAMS, *half, *[0] * (2 * CALM_LOOKS)]) == [1 + len(half) + CALM_LOOKS]


def test_memory_can_be_given_back_here() -> None:
    give_back()
