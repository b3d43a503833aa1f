import asyncio

import pytest

from provider.assets.single_flight import SingleFlight


class Work:
    """Runs that end when told to."""

    def __init__(self) -> None:
        self.budgets: list[float | None] = []
        self.gate = asyncio.Event()

    async def __call__(self, budget_seconds: float | None) -> bool:
        self.budgets.append(budget_seconds)
        await self.gate.wait()
        return True


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_join_shares_the_run_under_way() -> None:
    work = Work()
    shared = SingleFlight(work, pause_seconds=0.0)
    first, second = asyncio.create_task(shared.join(None)), asyncio.create_task(shared.join(1.0))
    await turns()
    work.gate.set()
    assert await first is await second is True
    assert work.budgets == [None]


@pytest.mark.gen_test
async def test_fresh_waits_for_a_run_that_began_later_and_shares_it() -> None:
    work = Work()
    shared = SingleFlight(work, pause_seconds=0.0)
    early = asyncio.create_task(shared.join(None))
    await turns()
    late = [asyncio.create_task(shared.fresh(2.0)) for _ in range(10)]
    await turns()
    assert work.budgets == [None]
    work.gate.set()
    await asyncio.gather(early, *late)
    assert work.budgets == [None, 2.0]


@pytest.mark.gen_test
async def test_fresh_joins_a_run_that_still_pauses() -> None:
    work = Work()
    work.gate.set()
    shared = SingleFlight(work, pause_seconds=0.05)
    await shared.fresh(1.0)
    first = asyncio.create_task(shared.fresh(2.0))
    await turns()
    second = asyncio.create_task(shared.fresh(3.0))
    await asyncio.gather(first, second)
    assert work.budgets == [1.0, 2.0]


@pytest.mark.gen_test
async def test_cancelled_caller_leaves_the_run_to_the_others() -> None:
    work = Work()
    shared = SingleFlight(work, pause_seconds=0.0)
    leaver, stayer = asyncio.create_task(shared.join(None)), asyncio.create_task(shared.join(None))
    await turns()
    leaver.cancel()
    await turns()
    work.gate.set()
    assert await stayer is True
    assert work.budgets == [None]


@pytest.mark.gen_test
async def test_failure_reaches_all_and_is_not_kept() -> None:
    outcomes = iter([ValueError("broken"), None])

    async def work(budget_seconds: float | None) -> bool:
        await asyncio.sleep(0)
        if error := next(outcomes):
            raise error
        return True

    shared = SingleFlight(work, pause_seconds=0.0)
    found = await asyncio.gather(shared.join(None), shared.join(None), return_exceptions=True)
    assert [type(item) for item in found] == [ValueError, ValueError]
    assert await shared.join(None) is True


@pytest.mark.gen_test
async def test_close_cancels_the_run() -> None:
    work = Work()
    shared = SingleFlight(work, pause_seconds=0.0)
    caller = asyncio.create_task(shared.join(None))
    await turns()
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await caller
