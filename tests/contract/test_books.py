"""The ledger with a real file: batches, a disk that fails, several processes, and the end of the process."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import pytest

from provider.books import ledger as module
from provider.books.config import BooksConfig
from provider.books.ledger import Ledger
from provider.books.reading import Question, records, sums
from provider.observability.metrics.backends import BooksMetrics
from tests.support.books import ANN, BOB, use

ALL = Question(0)
P = ParamSpec("P")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what has no event
            await asyncio.sleep(0.01)


def on_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run the test in an event loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        async def once() -> None:
            await test(*arguments, **named)

        asyncio.run(once())

    return run


def counted(metrics: BooksMetrics, result: str) -> float:
    return metrics.records.values[result,]


def rows(path: Path) -> int:
    return len(list(records([path], ALL))) if path.exists() else 0


@on_loop
async def test_uses_are_written_by_themselves(tmp_path: Path) -> None:
    """Nothing has to be closed for it, so a process that is killed loses what came within WRITE_SECONDS only."""
    path, metrics = tmp_path / "books", BooksMetrics()
    books = Ledger(str(path), BooksConfig(), metrics)
    books.add(use())
    await until(lambda: counted(metrics, "written") == 1)
    assert rows(path) == 1
    books.add(use(consumer=BOB))
    await until(lambda: counted(metrics, "written") == 2)
    assert rows(path) == 2
    await books.close()


@on_loop
async def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    path, metrics = tmp_path / "books", BooksMetrics()
    books = Ledger(str(path), BooksConfig(), metrics)
    for _ in range(module.BATCH + 10):
        books.add(use())
    await books.close()
    assert rows(path) == counted(metrics, "written") == module.BATCH + 10
    books.add(use())
    assert counted(metrics, "lost") == 1


def test_a_closed_ledger_that_was_never_used_leaves_no_file(tmp_path: Path) -> None:
    async def run() -> None:
        await Ledger(str(tmp_path / "books"), BooksConfig(), BooksMetrics()).close()

    asyncio.run(run())
    assert not list(tmp_path.iterdir())


@on_loop
async def test_a_full_batch_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 3600.0)
    metrics = BooksMetrics()
    books = Ledger(str(tmp_path / "books"), BooksConfig(), metrics)
    for _ in range(module.BATCH):
        books.add(use())
    await until(lambda: counted(metrics, "written") == module.BATCH)
    await books.close()


@on_loop
async def test_a_disk_that_fails_loses_nothing_at_first_and_heals_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    folder, metrics = tmp_path / "away", BooksMetrics()
    books = Ledger(str(folder / "books"), BooksConfig(), metrics)
    books.add(use())
    await until(lambda: metrics.up.values[()] == 0)
    for _ in range(5):
        books.add(use())
        await asyncio.sleep(0)
    assert counted(metrics, "lost") == 0
    folder.mkdir()
    await until(lambda: counted(metrics, "written") == 6)
    assert metrics.up.values[()] == 1
    assert rows(folder / "books") == 6
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "cannot be written" in text and "does not exist" in text]) == 1
    assert told[-1] == "the books can be written again"
    await books.close()


@pytest.mark.parametrize("closes", [False, True])
@on_loop
async def test_a_use_that_no_file_can_hold_is_told_as_lost_and_holds_up_no_later_one(
    tmp_path: Path, closes: bool
) -> None:
    path, metrics = tmp_path / "books", BooksMetrics()
    books = Ledger(str(path), BooksConfig(), metrics)
    books.add(replace(use(), chain_id=2**70))
    if not closes:
        await until(lambda: counted(metrics, "lost") == 1)
        books.add(use())
        await until(lambda: counted(metrics, "written") == 1)
    await books.close()
    assert (rows(path), counted(metrics, "lost")) == (0 if closes else 1, 1)


@on_loop
async def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 50)
    monkeypatch.setattr(module, "BATCH", 20)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    metrics = BooksMetrics()
    books = Ledger(str(tmp_path / "away" / "books"), BooksConfig(), metrics)
    for _ in range(200):
        books.add(use())
    await until(lambda: metrics.up.values[()] == 0)
    for _ in range(200):
        books.add(use())
    await books.close()
    assert (counted(metrics, "lost"), counted(metrics, "written")) == (400, 0)


@on_loop
async def test_a_file_of_another_program_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    path, metrics = tmp_path / "books", BooksMetrics()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 77")
    connection.close()
    books = Ledger(str(path), BooksConfig(), metrics)
    books.add(use())
    await until(lambda: metrics.up.values[()] == 0)
    await books.close()
    assert "schema version 77 is not ours" in caplog.text


@on_loop
async def test_two_workers_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.001)
    path = tmp_path / "books"
    workers = [Ledger(str(path), BooksConfig(), BooksMetrics()) for _ in range(2)]
    for step in range(100):
        for worker, buyer in zip(workers, (ANN, BOB), strict=True):
            worker.add(use(step % 7, buyer, link="both" if step % 2 else ""))
        if step % 10 == 0:
            await asyncio.sleep(0.005)
    for worker in workers:
        await worker.close()
    found = sums([path], "consumer", ALL)
    assert {who: row.requests for who, row in found.items()} == {ANN: 100, BOB: 100}
    assert sum(row.requests for row in sums([path], "dataset", ALL).values()) == 200


def test_a_file_that_is_read_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "books"

    async def write() -> None:
        books = Ledger(str(path), BooksConfig(), BooksMetrics())
        books.add(use())
        await books.close()

    asyncio.run(write())
    before = path.read_bytes(), os.stat(path).st_mtime_ns
    assert sums([path], "day", ALL)
    assert (path.read_bytes(), os.stat(path).st_mtime_ns) == before
