"""The first good answer counts, and slow ones have the next asked as well."""

import asyncio

import pytest

from provider.chain.endpoint import EndpointFailed
from provider.chain.rpc import MAX_UNDER_WAY, Won, first_answer


class Asked:
    """Runners are texts: `ok`, `bad` and `wrong` answer, refuse or break at once, `slow…` when released."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.cancelled: list[str] = []
        self.failed: list[str] = []
        self.released = asyncio.Event()
        self.under_way = 0

    async def ask(self, runner: str) -> None:
        self.order.append(runner)
        self.under_way += 1
        assert self.under_way <= MAX_UNDER_WAY
        try:
            if runner.startswith("slow"):
                await self.released.wait()
            if runner.startswith("bad"):
                self.failed.append(runner)
                raise EndpointFailed("fault", runner)
            if runner == "wrong":
                raise ZeroDivisionError
        except asyncio.CancelledError:
            self.cancelled.append(runner)
            raise
        finally:
            self.under_way -= 1

    async def race(self, *runners: str, patience_seconds: float = 0.01) -> Won[str] | None:
        return await first_answer(
            runners,
            self.ask,
            patience_seconds=patience_seconds,
            hedged=lambda: None,
        )


@pytest.mark.gen_test
async def test_nobody_else_is_asked_when_the_first_answers() -> None:
    asked = Asked()
    assert await asked.race("ok", "ok2") == Won("ok", ())
    assert asked.order == ["ok"]


@pytest.mark.gen_test
async def test_a_failure_moves_on_at_once_and_is_told() -> None:
    asked = Asked()
    won = await asked.race("bad", "bad2", "ok", patience_seconds=0)
    assert won is not None
    assert won.runner == "ok"
    assert asked.failed == ["bad", "bad2"]


@pytest.mark.gen_test
async def test_nothing_comes_of_nobody_and_of_failures_only() -> None:
    asked = Asked()
    assert await asked.race() is None
    assert await asked.race("bad", "bad2") is None


@pytest.mark.gen_test
async def test_a_slow_one_is_beaten_by_the_next_and_cancelled() -> None:
    asked = Asked()
    assert await asked.race("slow", "ok") == Won("ok", ("slow",))
    await asyncio.sleep(0)
    assert asked.cancelled == ["slow"]


@pytest.mark.gen_test
async def test_without_a_limit_of_patience_the_next_one_is_not_asked() -> None:
    asked = Asked()
    race = asyncio.ensure_future(asked.race("slow", "ok", patience_seconds=0))
    await asyncio.sleep(0.05)
    assert asked.order == ["slow"]
    asked.released.set()
    assert (await race) == Won("slow", ())


@pytest.mark.gen_test
async def test_no_more_than_two_are_asked_at_a_time() -> None:
    asked = Asked()
    race = asyncio.ensure_future(asked.race("slow1", "slow2", "ok"))
    while len(asked.order) < 2:  # noqa: ASYNC110 - a runner has no event
        await asyncio.sleep(0.01)
    assert asked.order == ["slow1", "slow2"]
    asked.released.set()
    assert (await race) is not None


@pytest.mark.gen_test
async def test_a_failure_of_the_second_asks_the_third_while_the_first_is_slow() -> None:
    asked = Asked()
    won = await asked.race("slow", "bad", "ok")
    assert won == Won("ok", ("slow",))
    assert asked.failed == ["bad"]


@pytest.mark.gen_test
async def test_other_errors_are_not_swallowed_and_end_what_is_under_way() -> None:
    asked = Asked()
    with pytest.raises(ZeroDivisionError):
        await asked.race("slow", "wrong")
    await asyncio.sleep(0)
    assert asked.cancelled == ["slow"]


@pytest.mark.gen_test
async def test_cancelling_the_race_ends_everything() -> None:
    asked = Asked()
    race = asyncio.ensure_future(asked.race("slow1", "slow2"))
    await asyncio.sleep(0.05)
    race.cancel()
    await asyncio.wait({race})
    await asyncio.sleep(0)
    assert sorted(asked.cancelled) == ["slow1", "slow2"]
