"""`provider import-nonces`: from the old Provider's file, or from one host's, into SQLite or Redis."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider.__main__ import main
from provider.auth.nonce_order import sortable
from provider.auth.redis_store import RedisNonceStore
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_store import SqliteNonceStore
from provider.errors import NonceRefused
from provider.redis.client import RedisClient
from provider.redis.url import parse_target
from tests.support.nonce_stores import outcome
from tests.support.redis_clients import TIMEOUT_SECONDS
from tests.support.redis_server import RedisServer

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
FAR = 4_000_000_000


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """As Provider 2.1 leaves it, with the odd rows that were seen there."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""
            CREATE TABLE user_nonce (address VARCHAR(255) NOT NULL, nonce VARCHAR(255), PRIMARY KEY (address));
            CREATE TABLE revoked_tokens (token VARCHAR(255) NOT NULL, PRIMARY KEY (token));
            INSERT INTO user_nonce VALUES ('{ADDRESS}', '9'), ('{ADDRESS.lower()}', '10'), ('{OTHER}', '1644.5');
            INSERT INTO user_nonce VALUES ('nobody', '5'), ('0x{"1" * 40}', 'inf'), ('0x{"2" * 40}', NULL);
        """)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield running
    running.stop()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["import-nonces", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


async def _last(store: SqliteNonceStore | RedisNonceStore) -> list[str | None]:
    found = [await store.last(address) for address in (ADDRESS, OTHER)]
    await store.close()
    return found


def test_greatest_of_all_ways_to_write_an_address_counts_and_a_second_run_changes_nothing(
    old_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashlib.sha256(old_file.read_bytes()).digest()
    target = tmp_path / "new.db"
    arguments = ("--from", str(old_file), "--to", str(target))
    status, out, _ = run(capsys, *arguments, "--dry-run")
    assert (status, target.exists()) == (0, False)
    assert "2 addresses with a nonce, 0 revoked tokens, 3 other rows" in out
    assert "2 nonces would be imported" in out
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    assert "2 nonces imported; 0 were already there" in out
    assert asyncio.run(_last(SqliteNonceStore(target))) == ["10", "1644.5"]
    for dry in ((), ("--dry-run",)):
        status, out, _ = run(capsys, *arguments, *dry)
        assert status == 0
        assert "0 nonces " in out
    assert hashlib.sha256(old_file.read_bytes()).digest() == before


def test_greater_nonces_stay(old_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new.db"

    async def use() -> None:
        store = SqliteNonceStore(target)
        await store.use(ADDRESS, "11")
        await store.close()

    asyncio.run(use())
    _, out, _ = run(capsys, "--from", str(old_file), "--to", str(target))
    assert "1 nonces imported; 1 were already there" in out
    assert asyncio.run(_last(SqliteNonceStore(target))) == ["11", "1644.5"]


def test_one_host_moves_to_redis_with_its_revocations(
    server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.db"

    async def fill() -> None:
        store = SqliteNonceStore(own)
        await store.use(ADDRESS, "7")
        await store.use(OTHER, "1700000000000")
        await store.revoke("token", FAR)
        await store.close()

    asyncio.run(fill())
    monkeypatch.setenv("NETWORK_URL", "http://node:8545")
    monkeypatch.setenv("PROVIDER_PRIVATE_KEY", "0x" + "1" * 64)
    monkeypatch.setenv("REDIS_CONNECTION", server.url)
    assert run(capsys, "--from", str(own), "--dry-run")[0] == 0
    assert server.ask("DBSIZE") == b":0\r\n"
    status, out, err = run(capsys, "--from", str(own))
    assert (status, err) == (0, "")
    assert "2 nonces imported; 0 were already there, or greater ones; 1 revocations" in out

    async def look() -> tuple[list[str | None], bool]:
        client = RedisClient(parse_target(server.url), timeout_seconds=TIMEOUT_SECONDS)
        store = RedisNonceStore(client, prefix="ocean-provider")
        try:
            revoked = await store.revoked_until("token") is not None
            return await _last(store), revoked
        finally:
            await store.close()

    assert asyncio.run(look()) == (["7", "1700000000000"], True)


@pytest.mark.parametrize("content", [None, b"no database", "CREATE TABLE other (x)"])
def test_file_without_nonces_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str | None
) -> None:
    path = tmp_path / "file.db"
    if isinstance(content, bytes):
        path.write_bytes(content * 100)
    elif content:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(content)
    status, out, err = run(capsys, "--from", str(path), "--to", str(tmp_path / "new.db"))
    assert (status, out) == (1, "")
    assert str(path) in err
    assert path.exists() is (content is not None)


def test_store_that_fails_ends_with_1_and_words(
    old_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = run(capsys, "--from", str(old_file), "--to", str(tmp_path / "missing" / "new.db"))
    assert status == 1
    assert "run the same command again" in err
    monkeypatch.setenv("NETWORK_URL", "http://node:8545")
    monkeypatch.setenv("PROVIDER_PRIVATE_KEY", "0x" + "1" * 64)
    monkeypatch.setenv("REDIS_CONNECTION", "redis://:planted@127.0.0.1:1")
    status, _, err = run(capsys, "--from", str(old_file))
    assert status == 1
    assert "Connection refused" in err
    assert "planted" not in err


@pytest.mark.parametrize("value", ["'soon'", "NULL", "x'00'", "1.5"])
def test_an_expiry_that_is_no_number_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    source = tmp_path / "own.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript(
            "CREATE TABLE spent_nonces (address, nonce); CREATE TABLE token_revocations (token_id, expires_at);"
            f"INSERT INTO token_revocations VALUES ('a', {value})"
        )
    status, _, text = run(capsys, "--from", str(source), "--to", str(tmp_path / "new.db"))
    assert status == 1
    assert "expires_at" in text
    assert "Traceback" not in text


def test_texts_that_an_address_signed_stay_used_after_an_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "own.db", tmp_path / "new.db"
    large = "9" * 41

    async def fill() -> None:
        store = SqliteNonceStore(source)
        await store.use(ADDRESS, "5", text=OpenText("d" * 22, sortable("125"), True))
        await store.use(OTHER, large)
        await store.use(OTHER, "7")
        await store.close()

    async def look() -> list[object]:
        store = SqliteNonceStore(target)
        calls = [store.use(ADDRESS, "125"), store.use(ADDRESS, "126"), store.use(OTHER, large), store.use(OTHER, "8")]
        found = [await outcome(call) for call in calls]
        await store.close()
        return found

    asyncio.run(fill())
    assert run(capsys, "--from", str(source), "--to", str(target))[0] == 0
    assert asyncio.run(look()) == [NonceRefused, None, NonceRefused, None]
