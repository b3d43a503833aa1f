"""The thread for large documents: nobody can fill it, and what nobody waits for is not done."""

import asyncio
import threading

import pytest

from provider.errors import BodiesFull
from provider.handlers.off_loop import MAX_WAITING, MAX_WAITING_OF_CLIENT, OffLoop


class Work:
    """Calls that wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.done: list[int] = []

    def __call__(self, number: int) -> int:
        self.go.wait(30)
        self.done.append(number)
        return number


async def begun(off_loop: OffLoop, work: Work, clients: list[bytes | None]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(off_loop.run(client, work, number)) for number, client in enumerate(clients)]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.gen_test
async def test_work_is_done_in_its_order() -> None:
    off_loop, work = OffLoop(), Work()
    tasks = await begun(off_loop, work, [None] * MAX_WAITING)
    with pytest.raises(BodiesFull):
        await off_loop.run(None, work, 99)
    work.go.set()
    assert await asyncio.gather(*tasks) == work.done == list(range(MAX_WAITING))
    assert await off_loop.run(None, work, 99) == 99
    off_loop.close()


@pytest.mark.gen_test
async def test_one_client_leaves_room_for_others() -> None:
    off_loop, work = OffLoop(), Work()
    tasks = await begun(off_loop, work, [b"a"] * MAX_WAITING_OF_CLIENT)
    with pytest.raises(BodiesFull):
        await off_loop.run(b"a", work, 99)
    tasks += await begun(off_loop, work, [b"b", None])
    work.go.set()
    await asyncio.gather(*tasks)
    assert await off_loop.run(b"a", work, 99) == 99
    off_loop.close()


@pytest.mark.gen_test
async def test_what_nobody_waits_for_is_not_done() -> None:
    off_loop, work = OffLoop(), Work()
    tasks = await begun(off_loop, work, [b"a"] * 3)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks[1:], return_exceptions=True)
    work.go.set()
    await tasks[0]
    assert await off_loop.run(b"a", work, 99) == 99
    assert work.done == [0, 99]
    off_loop.close()
