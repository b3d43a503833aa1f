"""The SQLite files of nonce stores: modes, full disks, damage, older schemas, group commits."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from provider.auth import nonce_rows, sqlite_store
from provider.auth.nonce_store import revocation_key
from provider.auth.sqlite_file import open_store as open_file
from provider.auth.sqlite_store import SqliteNonceStore
from provider.errors import NonceRefused, StoreError
from tests.support.measured import MeasuredChildren
from tests.support.nonce_stores import ADDRESS, CLOCK, FAR, OTHER, Place, outcome


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def script(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write anything; be nobody for a while, so that modes of files count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter (pytest's own are private)."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


async def refusals(path: Path) -> list[str]:
    """Log texts of what fails when each kind of call meets the file at `path`."""
    store = SqliteNonceStore(path, busy_timeout_seconds=0.05)
    details: list[str] = []
    for call in (store.use(ADDRESS, "5"), store.revoke("x", FAR), store.check()):
        with pytest.raises(StoreError) as caught:
            await call
        assert str(path.parent) not in str(caught.value)
        details.append(caught.value.detail or "")
    await store.close()
    return details


def test_commits_are_synced_to_disk(tmp_path: Path) -> None:
    with closing(open_file(tmp_path / "n.db", busy_timeout_seconds=1)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.gen_test
async def test_missing_directory_is_named_and_not_made(tmp_path: Path) -> None:
    for detail in await refusals(tmp_path / "missing" / "n.db"):
        assert detail.endswith(f"the directory {tmp_path}/missing does not exist, or may not be entered")
    assert not (tmp_path / "missing").exists()


@pytest.mark.gen_test
async def test_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for detail in await refusals(tmp_path / "file" / "n.db"):
        assert detail.endswith(f"{tmp_path}/file is not a directory")


@pytest.mark.gen_test
async def test_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    for detail in await refusals(tmp_path):
        assert detail.endswith("the path is a directory")


def test_read_only_directory_is_named(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    with ordinary_user():
        details = asyncio.run(refusals(open_directory / "n.db"))
    open_directory.chmod(0o755)
    for detail in details:
        assert detail.endswith(f"the directory {open_directory} is not writable for this user")


def test_directory_that_may_not_be_entered_is_named(open_directory: Path) -> None:
    (open_directory / "private" / "db").mkdir(parents=True)
    (open_directory / "private").chmod(0)
    with ordinary_user():
        details = asyncio.run(refusals(open_directory / "private" / "db" / "n.db"))
    (open_directory / "private").chmod(0o755)
    for detail in details:
        assert detail.endswith("/private/db does not exist, or may not be entered")


async def use_one(path: Path) -> None:
    store = SqliteNonceStore(path)
    await store.use(ADDRESS, "1")
    await store.close()


def test_read_only_file_is_named(open_directory: Path) -> None:
    path = open_directory / "n.db"
    asyncio.run(use_one(path))
    path.chmod(0o444)
    open_directory.chmod(0o777)
    with ordinary_user():
        details = asyncio.run(refusals(path))
    for detail in details:
        assert "readonly" in detail
        assert detail.endswith("the file is not readable and writable for this user")
    assert rows(path, "SELECT nonce FROM spent_nonces") == [("1",)]


@pytest.mark.gen_test(timeout=20)
async def test_full_disk_refuses_and_recovers_without_a_restart(tmp_path: Path, children: MeasuredChildren) -> None:
    place = Place("sqlite", str(tmp_path / "nonces.db"))
    with place.worker(children, "full") as worker:
        lines = (await asyncio.to_thread(worker.rest)).splitlines()
    assert worker.returncode == 0
    assert [line.split()[0] for line in lines] == ["refused", "refused", "last", "last"]
    assert place.place in lines[0]
    assert lines[2:] == ["last 1", "last 2"]


@pytest.mark.gen_test
async def test_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    path.write_bytes(b"precious notes " * 1000)
    for detail in await refusals(path):
        assert detail == f"{path}: file is not a database (SQLITE_NOTADB)"
    assert path.read_bytes() == b"precious notes " * 1000


@pytest.mark.gen_test
async def test_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path)
    await asyncio.gather(*(store.use(f"0x{number:040x}", "1") for number in range(2000)))
    await store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    store = SqliteNonceStore(path)
    for call in (store.use(ADDRESS, "1"), store.last(ADDRESS), store.revoked_until("x")):
        with pytest.raises(StoreError) as caught:
            await call
        assert "malformed" in (caught.value.detail or "")
    await store.close()


@pytest.mark.parametrize("version", [5, 99, -1])
@pytest.mark.gen_test
async def test_file_of_another_schema_is_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "n.db"
    script(path, f"CREATE TABLE theirs (x); PRAGMA user_version = {version}")
    for detail in await refusals(path):
        assert f"schema version {version} is not ours (4)" in detail
    assert rows(path, "SELECT name FROM sqlite_master") == [("theirs",)]


SCHEMAS = {
    1: """
CREATE TABLE spent_nonces (address TEXT PRIMARY KEY NOT NULL, nonce TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE token_revocations (token_id TEXT PRIMARY KEY NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX token_revocations_by_expiry ON token_revocations (expires_at);
""",
    2: """
CREATE TABLE window_nonces (address TEXT NOT NULL, nonce TEXT NOT NULL, moment INTEGER NOT NULL,
    is_floor INTEGER NOT NULL, PRIMARY KEY (address, nonce)) WITHOUT ROWID;
""",
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.gen_test
async def test_files_of_version_3_0_are_taken_over(tmp_path: Path, version: int) -> None:
    path = tmp_path / "n.db"
    script(path, "".join(SCHEMAS[number] for number in range(1, version + 1)) + f"PRAGMA user_version = {version}")
    script(path, f"INSERT INTO spent_nonces VALUES ('{ADDRESS}', '5'), ('{OTHER}', '{CLOCK}')")
    script(path, f"INSERT INTO token_revocations VALUES ('{revocation_key('token')}', {FAR})")
    store = SqliteNonceStore(path)
    for address, nonce in ((ADDRESS, "5"), (OTHER, str(CLOCK)), (OTHER, str(CLOCK - 1))):
        assert await outcome(store.use(address, nonce)) is NonceRefused
    assert await store.revoked_until("token") is not None
    for address, nonce in ((ADDRESS, "6"), (OTHER, str(CLOCK + 9)), (OTHER, str(CLOCK + 5))):
        await store.use(address, nonce)
    await store.close()
    assert rows(path, "PRAGMA user_version") == [(4,)]
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'window_nonces'") == []


@pytest.mark.gen_test
async def test_files_of_schema_version_3_keep_what_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path)
    for nonce in (CLOCK, CLOCK + 5):
        await store.use(ADDRESS, str(nonce))
    await store.close()
    script(path, "PRAGMA user_version = 3")
    store = SqliteNonceStore(path)
    assert await outcome(store.use(ADDRESS, str(CLOCK))) is NonceRefused
    await store.use(ADDRESS, str(CLOCK + 1))
    await store.close()
    assert rows(path, "PRAGMA user_version") == [(4,)]


@pytest.mark.parametrize("poison", ["21795000000000", "9" * 41, str(10**16)], ids=["shifted ms", "41 digits", "gap"])
@pytest.mark.gen_test
async def test_an_address_that_version_3_0_locked_out_comes_back(tmp_path: Path, poison: str) -> None:
    """Nonces of messages it signed before stay refused, and its large nonces go on above the last one."""
    path = tmp_path / "n.db"
    script(path, SCHEMAS[1] + "PRAGMA user_version = 1")
    script(path, f"INSERT INTO spent_nonces VALUES ('{ADDRESS}', '{poison}')")
    store = SqliteNonceStore(path)
    before = int(time.time() * 1000)
    told = int(await store.last(ADDRESS) or 0)
    assert abs(told - before) < 60_000
    for nonce in (5, told - 100, told):
        assert await outcome(store.use(ADDRESS, str(nonce))) is NonceRefused
    await store.use(ADDRESS, str(told + 1))
    assert await outcome(store.use(ADDRESS, poison)) is NonceRefused
    await store.use(ADDRESS, str(int(poison) + 1))
    await store.use(ADDRESS, str(told + 2))
    await store.close()


@pytest.mark.gen_test
async def test_lock_held_too_long_refuses_and_then_recovers(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path, busy_timeout_seconds=0.05)
    await store.use(ADDRESS, "1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await store.use(ADDRESS, "2")
        assert "locked (SQLITE_BUSY)" in (caught.value.detail or "")
        assert await store.last(ADDRESS) == "1"
    await store.use(ADDRESS, "2")
    await store.close()


@pytest.mark.gen_test
async def test_file_removed_and_replaced_is_noticed_at_the_latest_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    path.mkdir()
    store = SqliteNonceStore(path)
    assert await outcome(store.check()) is StoreError
    path.rmdir()
    await store.check()
    await store.use(ADDRESS, "1")
    await store.close()


OLD_PROVIDER = f"""
CREATE TABLE user_nonce (address VARCHAR(255) NOT NULL, nonce VARCHAR(255), PRIMARY KEY (address));
CREATE TABLE revoked_tokens (token VARCHAR(255) NOT NULL, PRIMARY KEY (token));
INSERT INTO user_nonce VALUES ('{ADDRESS}', '9'), ('{ADDRESS.lower()}', '10'), ('0x{ADDRESS[2:].upper()}', '8');
INSERT INTO user_nonce VALUES ('{OTHER}', '1644315615.24195');
INSERT INTO user_nonce VALUES ('nobody', '5'), ('0x{"1" * 40}', 'Infinity'), ('0x{"2" * 40}', NULL);
INSERT INTO revoked_tokens VALUES ('eyJ0.x.y');
"""


@pytest.mark.gen_test
async def test_tables_of_provider_2_are_read_once_and_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "ocean-provider.db"
    script(path, OLD_PROVIDER)
    queries = ("SELECT * FROM user_nonce", "SELECT * FROM revoked_tokens")
    before = [rows(path, query) for query in queries]
    store = SqliteNonceStore(path)
    assert await store.last(ADDRESS) == "10"
    assert await store.last(OTHER) == "1644315615.24195"
    assert await store.last("0x" + "1" * 40) is None
    assert await store.last("0x" + "2" * 40) is None
    assert await outcome(store.use(ADDRESS, "10")) is NonceRefused
    await store.use(ADDRESS, "11")
    await store.revoke("token", FAR)
    await store.close()
    assert [rows(path, query) for query in queries] == before
    script(path, f"UPDATE user_nonce SET nonce = '99' WHERE address = '{ADDRESS}'")
    store = SqliteNonceStore(path)
    assert await store.last(ADDRESS) == "11"
    await store.close()


@pytest.mark.gen_test
async def test_unrelated_table_of_the_old_name_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    script(path, "CREATE TABLE user_nonce (who TEXT)")
    store = SqliteNonceStore(path)
    assert await store.last(ADDRESS) is None
    await store.close()


@pytest.mark.gen_test
async def test_stored_text_that_is_no_nonce_admits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path)
    await store.use(ADDRESS, "1")
    script(path, "UPDATE spent_nonces SET nonce = 'nan'")
    assert await outcome(store.use(ADDRESS, "2")) is NonceRefused
    await store.close()


@pytest.mark.gen_test
async def test_revocations_are_dropped_when_their_tokens_have_long_expired(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    now = 1_000_000.0
    store = SqliteNonceStore(path, clock=lambda: now)
    await store.revoke("old", 1_000_000 - 3601)
    await store.revoke("fresh", 1_000_000 - 3599)
    await store.revoke("new", 1_000_100)
    assert [await store.revoked_until(name) is not None for name in ("old", "fresh", "new")] == [False, True, True]
    await store.close()


@pytest.mark.gen_test
async def test_waiting_calls_share_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = 0
    real = nonce_rows.transaction

    def counted(connection: sqlite3.Connection) -> Any:
        nonlocal commits
        commits += 1
        return real(connection)

    store = SqliteNonceStore(tmp_path / "n.db")
    await store.check()
    monkeypatch.setattr(nonce_rows, "transaction", counted)
    await asyncio.gather(*(store.use(f"0x{number:040x}", "1") for number in range(1000)))
    assert 2 <= commits <= 100
    await store.close()


@pytest.mark.gen_test
async def test_refused_nonce_does_not_undo_those_committed_with_it(tmp_path: Path) -> None:
    store = SqliteNonceStore(tmp_path / "n.db")
    calls = [store.use(ADDRESS, "5"), store.use(ADDRESS, "5"), store.use(OTHER, "1"), store.use(ADDRESS, "6")]
    assert await asyncio.gather(*map(outcome, calls)) == [None, NonceRefused, None, None]
    assert (await store.last(ADDRESS), await store.last(OTHER)) == ("6", "1")
    await store.close()


def defect(*_: object, **__: object) -> None:
    raise RuntimeError("defect")


@pytest.mark.gen_test
async def test_defect_in_the_thread_lets_nobody_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "open_store", defect)
    store = SqliteNonceStore(tmp_path / "n.db")
    calls = [outcome(store.use(f"0x{number:040x}", "1")) for number in range(20)]
    assert await asyncio.gather(*calls) == [StoreError] * 20
    assert await outcome(store.use(ADDRESS, "1")) is StoreError
    await store.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.gen_test
async def test_the_end_of_the_thread_lets_nobody_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who was being answered, nor who waited, nor who comes later."""
    may_end = threading.Event()

    def end(_: object) -> None:
        may_end.wait(60)
        defect()

    monkeypatch.setattr(sqlite_store, "_parts", end)
    store = SqliteNonceStore(tmp_path / "n.db")
    early = [asyncio.create_task(outcome(store.use(address, "1"))) for address in (ADDRESS, OTHER)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert await asyncio.gather(*early) == [StoreError] * 2
    store = SqliteNonceStore(tmp_path / "n.db")
    assert await outcome(store.use(ADDRESS, "1")) is StoreError
    assert await outcome(store.use(ADDRESS, "1")) is StoreError
    await store.close()


@pytest.mark.gen_test
async def test_an_unforeseen_failure_refuses_one_group_and_serves_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteNonceStore(tmp_path / "n.db")
    await store.use(ADDRESS, "1")
    with monkeypatch.context() as patch:
        patch.setattr(nonce_rows.NonceRows, "use_all", defect)
        assert await outcome(store.use(ADDRESS, "2")) is StoreError
    await store.use(ADDRESS, "2")
    assert await outcome(store.use(ADDRESS, "2")) is NonceRefused
    await store.close()


def test_answer_for_an_ended_event_loop_does_not_end_the_store(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path, busy_timeout_seconds=10)
    asyncio.run(store.check())

    async def leave_at_once() -> None:
        task = asyncio.ensure_future(store.use(ADDRESS, "1"))
        await asyncio.sleep(0)
        task.cancel()

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(leave_at_once())
    # A question that comes while the cancelled call still waits may be answered before it.
    deadline = time.monotonic() + 60
    while asyncio.run(store.last(ADDRESS)) != "1":
        assert time.monotonic() < deadline
    asyncio.run(store.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "nonce-store"]
