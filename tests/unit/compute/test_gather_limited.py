"""Look-ups of one request, several at a time."""

import asyncio

import pytest

from provider.compute.gather_limited import DEFAULT_LIMIT, gather_limited


@pytest.mark.gen_test(timeout=5)
async def test_at_most_so_many_are_under_way() -> None:
    under_way, most = 0, 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return item * 2

    assert await gather_limited(work, range(50)) == [item * 2 for item in range(50)]
    assert most == DEFAULT_LIMIT


@pytest.mark.gen_test(timeout=5)
async def test_first_failure_in_the_order_of_the_items_is_raised() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0 if item else 0.01)
        raise ValueError(str(item))

    with pytest.raises(ValueError, match=r"^0$"):
        await gather_limited(work, range(3))


@pytest.mark.gen_test(timeout=5)
async def test_failure_ends_what_stands_behind_it_before_it_is_raised() -> None:
    begun, ended = [], []

    async def work(item: int) -> int:
        begun.append(item)
        try:
            await asyncio.sleep(0 if item == 1 else 0.01 if item == 0 else 60)
        finally:
            ended.append(item)
        if item == 1:
            raise ValueError(str(item))
        return item

    with pytest.raises(ValueError, match=r"^1$"):
        await gather_limited(work, range(50))
    assert begun == list(range(DEFAULT_LIMIT)) + [DEFAULT_LIMIT] * (len(begun) - DEFAULT_LIMIT)
    assert sorted(ended) == sorted(begun)


@pytest.mark.gen_test(timeout=5)
async def test_nothing_goes_on_when_the_caller_is_cancelled() -> None:
    under_way, begun = 0, asyncio.Event()

    async def work(_: int) -> None:
        nonlocal under_way
        under_way += 1
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            under_way -= 1

    task = asyncio.ensure_future(gather_limited(work, range(20), limit=3))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert under_way == 0
