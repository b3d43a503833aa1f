"""How many blocks a query has, and how many queries are in flight."""

import random

from provider.assets.strides import (
    FORGET_SECONDS,
    MOST_AHEAD_BYTES,
    MOST_PAGE_BYTES,
    MOST_PAGES,
    PAGE_BYTES,
    Stride,
    Window,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_stride_doubles_while_answers_are_small_and_stops_at_its_limit() -> None:
    stride = Stride(10_000, now=Clock())
    seen = [stride.blocks]
    for _ in range(5):
        stride.answered(stride.blocks, 0)
        seen.append(stride.blocks)
    assert seen == [1000, 2000, 4000, 8000, 10_000, 10_000]


def test_a_limit_of_the_operator_is_never_exceeded() -> None:
    stride = Stride(10, now=Clock())
    for _ in range(10):
        stride.answered(stride.blocks, 0)
    assert stride.blocks == 10


def test_the_stride_is_halved_to_one_and_no_further() -> None:
    stride = Stride(1000, now=Clock())
    for _ in range(12):
        stride.halve()
    assert stride.blocks == 1
    stride.answered(1, MOST_PAGE_BYTES * 10)
    assert stride.blocks == 1
    stride.answered(1, 0)
    assert stride.blocks == 2


def test_dense_blocks_make_the_stride_fit_a_page_and_sparse_ones_let_it_grow_again() -> None:
    stride = Stride(10_000, now=Clock())
    block_bytes = 20_000
    for _ in range(20):
        stride.answered(stride.blocks, stride.blocks * block_bytes)
    assert PAGE_BYTES // 3 < stride.blocks * block_bytes <= PAGE_BYTES
    for _ in range(20):
        stride.answered(stride.blocks, stride.blocks * 10)
    assert stride.blocks == 10_000


def test_a_refused_length_is_not_tried_again_at_once() -> None:
    clock = Clock()
    stride = Stride(10_000, now=clock)
    stride.refused(1000, is_too_large=False)
    assert stride.blocks == 500
    for _ in range(20):
        stride.answered(stride.blocks, 0)
    assert stride.blocks == 999
    clock.now = FORGET_SECONDS + 1
    stride.answered(stride.blocks, 0)
    assert stride.blocks == 1998


def test_logs_that_are_too_large_say_nothing_about_the_length() -> None:
    stride = Stride(10_000, now=Clock())
    stride.refused(1000, is_too_large=True)
    for _ in range(20):
        stride.answered(stride.blocks, 0)
    assert stride.blocks == 10_000


def test_the_window_opens_with_answers_and_closes_with_failures() -> None:
    window = Window()
    opened = [window.pages]
    for _ in range(MOST_PAGES + 3):
        window.answered(0)
        opened.append(window.pages)
    assert opened[:4] == [1, 2, 3, 4]
    assert opened[-1] == MOST_PAGES
    window.failed()
    assert window.pages == MOST_PAGES // 2
    for _ in range(10):
        window.failed()
    assert window.pages == 1


def test_pages_in_flight_take_no_more_memory_than_they_may() -> None:
    window, chance = Window(), random.Random(1)
    for _ in range(200):
        size = chance.randrange(MOST_PAGE_BYTES)
        window.answered(size)
        assert window.pages == 1 or window.pages * size <= MOST_AHEAD_BYTES
