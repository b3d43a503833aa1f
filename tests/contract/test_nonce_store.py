"""What every NonceStore promises, run over each kind of store; below it, what SQLite files bring with them."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from provider.auth import nonce_rows, sqlite_store
from provider.auth.nonce_store import NonceStore
from provider.auth.sqlite_file import open_store as open_file
from provider.auth.sqlite_store import SqliteNonceStore
from provider.errors import NonceRefused, ProviderError, StoreError
from tests.contract.nonce_worker import open_store
from tests.support.redis_server import AOF, RedisServer

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
WORKER = Path(__file__).with_name("nonce_worker.py")
FAR = 4_000_000_000

MakeStore = Callable[[], NonceStore]


class Place:
    """Where the stores of one test keep their state; `kind` and `place` mean the same to `nonce_worker.py`."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place

    def worker(self, what: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), what, self.kind, self.place, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), *AOF).start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        return Place("redis", server.url)
    return Place("sqlite", str(tmp_path / "nonces.db"))


@pytest.fixture
def make_store(place: Place, io_loop: IOLoop) -> Iterator[MakeStore]:
    """Makes stores over the same state, as several workers would; closes them all."""
    made: list[NonceStore] = []

    def make() -> NonceStore:
        store = open_store(place.kind, place.place)
        made.append(store)
        return store

    yield make
    for store in made:
        io_loop.run_sync(store.close)


@pytest.fixture
def store(make_store: MakeStore) -> NonceStore:
    return make_store()


async def outcome(call: Any) -> object:
    try:
        return await call
    except ProviderError as error:
        return type(error)


@pytest.mark.gen_test
async def test_nonces_must_rise(store: NonceStore) -> None:
    for nonce in ("1", "2", "2.5", "1644315615.24195", "1690000000000000000", "9" * 41):
        await store.use(ADDRESS, nonce)
        assert await store.last(ADDRESS) == nonce


@pytest.mark.parametrize(
    ("stored", "nonce"),
    [
        ("5", "5"),
        ("5", "4"),
        ("5", "5.0"),
        ("5", "05"),
        ("5", "5e0"),
        ("5", "-6"),
        ("9007199254740993", "9007199254740992"),
    ],
)
@pytest.mark.gen_test
async def test_equal_and_lower_nonces_are_refused_with_the_documented_text(
    store: NonceStore, stored: str, nonce: str
) -> None:
    await store.use(ADDRESS, stored)
    with pytest.raises(NonceRefused) as caught:
        await store.use(ADDRESS, nonce)
    assert str(caught.value) == f"Invalid signature expected nonce ({stored}) > current nonce ({nonce})."
    assert await store.last(ADDRESS) == stored


@pytest.mark.parametrize(
    "nonce", ["", "nan", "inf", "0x10", "1_0", " 1", "9" * 101, "1e400"], ids=lambda text: text[:6]
)
@pytest.mark.gen_test
async def test_what_is_no_nonce_is_refused_and_not_stored(store: NonceStore, nonce: str) -> None:
    with pytest.raises(NonceRefused):
        await store.use(ADDRESS, nonce)
    assert await store.last(ADDRESS) is None


@pytest.mark.gen_test
async def test_case_of_the_address_does_not_matter(store: NonceStore) -> None:
    await store.use(ADDRESS.lower(), "7")
    for address in (ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()):
        assert await store.last(address) == "7"
        assert await outcome(store.use(address, "7")) is NonceRefused


@pytest.mark.gen_test
async def test_addresses_do_not_disturb_each_other(store: NonceStore) -> None:
    await store.use(ADDRESS, "7")
    assert await store.last(OTHER) is None
    await store.use(OTHER, "1")
    assert await store.last(ADDRESS) == "7"


@pytest.mark.parametrize("address", ["", "nobody", ADDRESS[2:], ADDRESS + "0", "\ud800"], ids=ascii)
@pytest.mark.gen_test
async def test_what_is_no_address_has_no_nonces(store: NonceStore, address: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        await store.use(address, "1")
    assert await store.last(address) is None


@pytest.mark.gen_test
async def test_of_equal_nonces_at_once_one_is_accepted(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    calls = [outcome(stores[number % 2].use(ADDRESS, "42")) for number in range(200)]
    assert Counter(await asyncio.gather(*calls)) == {None: 1, NonceRefused: 199}


@pytest.mark.gen_test
async def test_of_many_nonces_at_once_the_greatest_is_left(store: NonceStore) -> None:
    nonces = [str(number * 7919 % 500) for number in range(500)]
    accepted = [
        int(nonce)
        for nonce, result in zip(
            nonces, await asyncio.gather(*(outcome(store.use(ADDRESS, nonce)) for nonce in nonces)), strict=True
        )
        if result is None
    ]
    assert accepted == sorted(set(accepted))
    assert accepted[-1] == 499
    assert await store.last(ADDRESS) == "499"


CLOCK = 1_700_000_000_000


@pytest.mark.gen_test
async def test_in_a_window_each_nonce_passes_once_in_any_order(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    nonces = [CLOCK - 599_999, CLOCK, CLOCK - 600_000, CLOCK - 600_001, CLOCK - 1]
    for repeated, expected in ((False, [None, None, None, NonceRefused, None]), (True, [NonceRefused] * 5)):
        results = [
            await outcome(stores[(number + repeated) % 2].use(ADDRESS, str(nonce), window_seconds=600))
            for number, nonce in enumerate(nonces)
        ]
        assert results == expected
    assert await stores[0].last(ADDRESS) == str(CLOCK)


@pytest.mark.gen_test
async def test_of_equal_nonces_in_a_window_at_once_one_is_accepted(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    await stores[0].use(ADDRESS, str(CLOCK), window_seconds=600)
    calls = [
        outcome(stores[number % 2].use(ADDRESS, str(CLOCK - number // 20), window_seconds=600)) for number in range(200)
    ]
    assert Counter(await asyncio.gather(*calls)) == {None: 9, NonceRefused: 191}


@pytest.mark.gen_test
async def test_window_survives_closing_and_is_for_its_address_only(make_store: MakeStore) -> None:
    store = make_store()
    for nonce in (CLOCK, CLOCK - 5):
        await store.use(ADDRESS, str(nonce), window_seconds=600)
        await store.use(OTHER, str(nonce + 10), window_seconds=600)
    await store.close()
    later = make_store()
    assert await outcome(later.use(ADDRESS, str(CLOCK - 5), window_seconds=600)) is NonceRefused
    assert await outcome(later.use(ADDRESS, str(CLOCK - 6), window_seconds=600)) is None


@pytest.mark.gen_test
async def test_another_store_over_the_same_state_sees_everything(make_store: MakeStore) -> None:
    one, other = make_store(), make_store()
    await one.use(ADDRESS, "1")
    assert await other.last(ADDRESS) == "1"
    await other.use(ADDRESS, "2")
    assert await outcome(one.use(ADDRESS, "2")) is NonceRefused
    await one.revoke("token", FAR)
    assert await other.is_revoked("token")


@pytest.mark.gen_test
async def test_state_is_there_after_closing(make_store: MakeStore) -> None:
    store = make_store()
    await store.use(ADDRESS, "5")
    await store.revoke("token", FAR)
    await store.close()
    later = make_store()
    assert await outcome(later.use(ADDRESS, "5")) is NonceRefused
    assert await later.is_revoked("token")


@pytest.mark.gen_test
async def test_revoked_tokens_stay_so_until_restored(store: NonceStore) -> None:
    assert not await store.is_revoked("token")
    await store.revoke("token", FAR)
    await store.revoke("token", FAR)
    assert await store.is_revoked("token")
    assert not await store.is_revoked("token ")
    await store.restore("token")
    await store.restore("token")
    assert not await store.is_revoked("token")


@pytest.mark.parametrize(
    "token_id", ["", "\ud800", "\x00", "x" * 100_000, "'; DROP TABLE x"], ids=lambda text: ascii(text[:9])
)
@pytest.mark.gen_test
async def test_any_text_can_be_a_token_id(store: NonceStore, token_id: str) -> None:
    await store.revoke(token_id, 10**30)
    assert await store.is_revoked(token_id)
    assert not await store.is_revoked("other")


@pytest.mark.gen_test
async def test_check_changes_nothing(store: NonceStore) -> None:
    await store.check()
    await store.use(ADDRESS, "1")
    await store.check()
    assert await store.last(ADDRESS) == "1"


@pytest.mark.gen_test
async def test_closing_finishes_what_was_asked_before(make_store: MakeStore) -> None:
    store = make_store()
    calls = [asyncio.ensure_future(store.use(f"0x{number:040x}", "1")) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*calls) == [None] * 100
    assert await make_store().last(f"0x{99:040x}") == "1"


@pytest.mark.gen_test
async def test_closed_store_answers_with_a_store_error(make_store: MakeStore) -> None:
    for store in (make_store(), make_store()):
        await store.close()
        await store.close()
        for call in (store.use(ADDRESS, "1"), store.last(ADDRESS), store.is_revoked("x"), store.check()):
            assert await outcome(call) is StoreError


@pytest.mark.gen_test
async def test_cancelled_call_leaves_the_others_alone(store: NonceStore) -> None:
    calls = [asyncio.ensure_future(store.use(f"0x{number:040x}", "1")) for number in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[1::2] == [None] * 25
    await store.use(ADDRESS, "1")


@pytest.mark.gen_test(timeout=60)
async def test_processes_together_accept_each_nonce_exactly_once(place: Place, make_store: MakeStore) -> None:
    last = 150
    workers = [place.worker("contend", last, stdin=subprocess.PIPE) for _ in range(4)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    texts = await asyncio.gather(*(asyncio.to_thread(worker.communicate) for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * 4
    accepted = [int(line) for text, _ in texts for line in text.split()]
    assert Counter(accepted) == Counter(range(1, last + 1))
    assert await make_store().last(ADDRESS) == str(last)


@pytest.mark.gen_test(timeout=60)
async def test_processes_together_accept_each_nonce_of_a_window_exactly_once(place: Place) -> None:
    workers = [place.worker("window", CLOCK, stdin=subprocess.PIPE) for _ in range(3)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    texts = await asyncio.gather(*(asyncio.to_thread(worker.communicate, "go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * 3
    accepted = Counter(int(line) for text, _ in texts for line in text.split())
    assert accepted == Counter(range(CLOCK, CLOCK + 150))


@pytest.mark.gen_test(timeout=60)
async def test_no_accepted_nonce_is_accepted_again_after_kill_9(place: Place, make_store: MakeStore) -> None:
    for run in range(1, 4):
        worker = place.worker("write", run)
        reported: dict[int, int] = {}
        with worker, closing(worker.stdout) as lines:  # type: ignore[type-var]
            assert lines
            for count, line in enumerate(lines):
                if count == 400 * run:
                    worker.kill()
                if line.endswith("\n"):
                    waiter, nonce = map(int, line.split())
                    reported[waiter] = nonce
        assert worker.returncode == -9
        assert len(reported) == 32
        store = make_store()
        for waiter, nonce in reported.items():
            address = f"0x{waiter:040x}"
            assert await outcome(store.use(address, str(nonce))) is NonceRefused
            stored = int(await store.last(address) or 0)
            # What was accepted but not yet reported when the process died may be there, no more than that.
            assert nonce <= stored <= nonce + 1
            await store.use(address, str(stored + 1))


# SQLite files


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
async def test_full_disk_refuses_and_recovers_without_a_restart(tmp_path: Path) -> None:
    place = Place("sqlite", str(tmp_path / "nonces.db"))
    worker = place.worker("full")
    text, _ = await asyncio.to_thread(worker.communicate)
    lines = text.splitlines()
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
    for call in (store.use(ADDRESS, "1"), store.last(ADDRESS), store.is_revoked("x")):
        with pytest.raises(StoreError) as caught:
            await call
        assert "malformed" in (caught.value.detail or "")
    await store.close()


@pytest.mark.parametrize("version", [3, 99, -1])
@pytest.mark.gen_test
async def test_file_of_another_schema_is_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "n.db"
    script(path, f"CREATE TABLE theirs (x); PRAGMA user_version = {version}")
    for detail in await refusals(path):
        assert f"schema version {version} is not ours (2)" in detail
    assert rows(path, "SELECT name FROM sqlite_master") == [("theirs",)]


@pytest.mark.gen_test
async def test_file_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    store = SqliteNonceStore(path)
    await store.use(ADDRESS, "5")
    await store.revoke("token", FAR)
    await store.close()
    script(path, "DROP TABLE window_nonces; PRAGMA user_version = 1")
    store = SqliteNonceStore(path)
    assert await outcome(store.use(ADDRESS, "5")) is NonceRefused
    assert await store.is_revoked("token")
    await store.use(ADDRESS, str(CLOCK), window_seconds=600)
    await store.close()
    assert rows(path, "PRAGMA user_version") == [(2,)]


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
INSERT INTO user_nonce VALUES ('{ADDRESS}', '9'), ('{ADDRESS.lower()}', '10'), ('{OTHER}', '1644315615.24195');
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
    assert [await store.is_revoked(name) for name in ("old", "fresh", "new")] == [False, True, True]
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.gen_test
async def test_defect_in_the_thread_lets_nobody_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object, **__: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(sqlite_store, "open_store", defect)
    store = SqliteNonceStore(tmp_path / "n.db")
    calls = [outcome(store.use(f"0x{number:040x}", "1")) for number in range(20)]
    assert await asyncio.gather(*calls) == [StoreError] * 20
    assert await outcome(store.use(ADDRESS, "1")) is StoreError
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
    deadline = time.monotonic() + 5
    while asyncio.run(store.last(ADDRESS)) != "1":
        assert time.monotonic() < deadline
    asyncio.run(store.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "nonce-store"]
