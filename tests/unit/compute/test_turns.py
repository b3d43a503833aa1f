"""Look-ups of one request, several at a time."""

import asyncio

import pytest

from provider.compute.turns import AT_ONCE, in_turns


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

    assert await in_turns(work, range(50)) == [item * 2 for item in range(50)]
    assert most == AT_ONCE


@pytest.mark.gen_test(timeout=5)
async def test_first_failure_in_the_order_of_the_items_is_raised() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0 if item else 0.01)
        raise ValueError(str(item))

    with pytest.raises(ValueError, match=r"^0$"):
        await in_turns(work, range(3))
