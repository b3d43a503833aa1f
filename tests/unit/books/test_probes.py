"""When the server asks the origins of sold files itself, and what it makes of the answers. Time is made up."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from provider.books import probes
from provider.books.health import OTHERS, Health
from provider.books.probes import AT_ONCE, ATTEMPTS, RETRY_SECONDS, Prober, SoldFile, due_at
from provider.errors import StoreError
from provider.observability.metrics.backends import BooksMetrics
from tests.support.books import NOW, did

DAY = 86_400.0
FILES = [SoldFile(did(number), "s", 0) for number in range(40)]


class Day:
    """Made-up time, and a prober in it. `answers`: codes by file; others answer well."""

    def __init__(self, files: Sequence[SoldFile], answers: Mapping[SoldFile, str] | None = None) -> None:
        self.elapsed = 0.0
        self.shift = NOW
        self.asked: list[tuple[float, SoldFile]] = []
        self.answers = dict(answers or {})
        self.health = Health()
        self.metrics = BooksMetrics()
        self.files = files
        self.failures: list[Exception] = []
        self.reached = asyncio.Event()
        self.pauses: list[float] = []
        self.goal = 0
        self.prober = Prober(
            sold=self.sold,
            ask=self.ask,
            health=self.health,
            metrics=self.metrics,
            period_seconds=DAY,
            clock=lambda: self.now,
            pause=self.pause,
        )

    async def sold(self) -> Sequence[SoldFile]:
        if self.failures:
            raise self.failures.pop()
        return self.files

    async def ask(self, file: SoldFile) -> str:
        self.asked.append((self.now, file))
        if len(self.asked) == self.goal:
            self.reached.set()
        return self.answers.get(file, "complete")

    async def until_asked(self, count: int) -> None:
        self.goal = count
        self.reached.clear()
        await self.reached.wait()

    async def pause(self, seconds: float) -> None:
        end = self.elapsed + seconds
        # Others may pause meanwhile, for a shorter time.
        self.pauses.append(end)
        while self.elapsed < end:
            await asyncio.sleep(0)
            if min(self.pauses) == end:
                self.elapsed = max(self.elapsed, end)
        self.pauses.remove(end)

    @property
    def now(self) -> float:
        return self.shift + self.elapsed


def test_each_file_is_asked_once_in_a_day_and_the_turns_are_spread() -> None:
    day = Day(FILES)
    asyncio.run(day.prober.ask_all(NOW))
    assert sorted(file for _, file in day.asked) == sorted(FILES)
    times = [at for at, _ in day.asked]
    assert NOW <= times[0] <= times[-1] < NOW + DAY
    assert times == sorted(times)
    for quarter in range(4):
        begin = NOW + quarter * DAY / 4
        assert 3 <= sum(begin <= at < begin + DAY / 4 for at in times) <= 20


def test_a_defect_at_one_file_leaves_the_others_their_turns() -> None:
    day = Day(FILES)
    asked, spoiled = day.ask, FILES[7]

    async def ask(file: SoldFile) -> str:
        code = await asked(file)
        if file == spoiled:
            raise RuntimeError("defect")
        return code

    day.prober._ask = ask
    asyncio.run(day.prober.ask_all(NOW))
    assert sorted(file for _, file in day.asked) == sorted(FILES)
    assert (day.metrics.probes.values["ok",], day.metrics.probes.values["skipped",]) == (len(FILES) - 1, 1)


def test_silent_origins_delay_the_turns_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LONGEST_SECONDS", 0.01)
    silent = frozenset(FILES[:20])
    day = Day(FILES)
    asked = day.ask

    async def ask(file: SoldFile) -> str:
        code = await asked(file)
        if file in silent:
            await asyncio.Event().wait()
        return code

    day.prober._ask = ask
    asyncio.run(day.prober.ask_all(NOW))
    assert sorted(file for _, file in day.asked) == sorted(FILES)
    assert (day.metrics.probes.values["ok",], day.metrics.probes.values["skipped",]) == (20, 20)
    assert day.health.failing(day.now) == {OTHERS: 0}


def test_the_other_origins_are_asked_while_some_are_silent() -> None:
    """As many as there are places, less one, answer nothing for ever."""
    day = Day(FILES)
    asked, order = day.ask, sorted(FILES, key=lambda file: due_at(file, NOW, DAY))
    silent = frozenset(order[: AT_ONCE - 1])
    others = asyncio.Event()

    async def ask(file: SoldFile) -> str:
        code = await asked(file)
        if len(day.asked) == len(FILES):
            others.set()
        if file in silent:
            await others.wait()
        return code

    async def run() -> None:
        async with asyncio.timeout(30):
            await day.prober.ask_all(NOW)

    day.prober._ask = ask
    asyncio.run(run())
    assert counted(day) == {"ok": len(FILES), "failed": 0, "skipped": 0}


def test_a_clock_that_is_set_back_by_years_stops_no_probe() -> None:
    day = Day(FILES[:3])

    async def run() -> None:
        day.prober.start()
        await day.until_asked(1)
        day.shift -= 3650 * DAY
        await day.until_asked(7)
        await day.prober.close()

    asyncio.run(run())
    back = NOW - 3650 * DAY
    assert max(at for at, _ in day.asked[2:]) < back + 4 * DAY


def test_a_restart_moves_no_turn() -> None:
    for file in FILES:
        first = due_at(file, NOW, DAY)
        assert due_at(file, NOW - 0.3 * DAY, DAY) % DAY == pytest.approx(first % DAY)
        assert due_at(file, first + 1, DAY) == pytest.approx(first + DAY)


def test_a_file_that_fails_is_asked_again_until_the_alert_knows() -> None:
    ill, late = FILES[:2]
    day = Day(FILES[:4], {ill: "upstream_refused", late: "upstream_timed_out"})
    asyncio.run(day.prober.ask_all(NOW))
    times = [at for at, file in day.asked if file == ill]
    assert len(times) == ATTEMPTS
    assert times[1] - times[0] >= RETRY_SECONDS
    assert day.health.failing(day.now) == {(ill.did, "0"): 3, (late.did, "0"): 3, OTHERS: 0}
    assert counted(day) == {"ok": 2, "failed": 6, "skipped": 0}


def test_a_success_ends_the_row_but_not_one_of_cut_bodies() -> None:
    day = Day(FILES[:1], {FILES[0]: "upstream_refused"})
    asyncio.run(day.prober.ask_all(NOW))
    day.answers.clear()
    asyncio.run(day.prober.ask_all(NOW + DAY))
    assert day.health.failing(day.now) == {OTHERS: 0}
    day.health.probed(FILES[0].did, 0, "upstream_truncated", day.now)
    asyncio.run(day.prober.ask_all(NOW + 2 * DAY))
    (known,) = day.health.worth_showing(day.now, 10)
    assert (known["failures_in_a_row"], known["code"]) == (1, "upstream_truncated")


@pytest.mark.parametrize("code", ["asset_not_consumable", "chain_unavailable", "origins_busy", "not_asked"])
def test_what_says_nothing_about_an_origin_is_skipped(code: str) -> None:
    day = Day(FILES[:1], {FILES[0]: code})
    asyncio.run(day.prober.ask_all(NOW))
    assert len(day.asked) == 1
    assert day.health.worth_showing(day.now, 10) == []
    assert counted(day) == {"ok": 0, "failed": 0, "skipped": 1}


def test_books_that_cannot_be_read_are_read_again_in_the_next_period(caplog: pytest.LogCaptureFixture) -> None:
    day = Day(FILES[:3])
    day.failures = [StoreError(detail="the disk is gone") for _ in range(2)]

    async def run() -> None:
        day.prober.start()
        await day.until_asked(3)
        await day.prober.close()

    asyncio.run(run())
    assert NOW + 2 * DAY <= day.asked[0][0] <= day.asked[-1][0] < NOW + 3 * DAY
    assert "the disk is gone" in caplog.text


def test_a_machine_that_slept_for_a_month_asks_each_file_once() -> None:
    day = Day(FILES[:3])

    async def run() -> None:
        day.prober.start()
        await day.until_asked(3)
        day.shift += 30 * DAY
        await day.until_asked(9)
        day.prober.hand_over()
        await day.prober.close()

    asyncio.run(run())
    woke = NOW + 30 * DAY
    assert sum(woke <= at < woke + DAY for at, _ in day.asked) <= 6


def counted(day: Day) -> dict[str, float]:
    return {labels[0]: float(str(value)) for labels, value in day.metrics.probes.cells()}
