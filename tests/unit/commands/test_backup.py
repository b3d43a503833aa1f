"""The manifest of a backup, and the files that a restore writes."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from provider.commands.backup.manifest import FILE_NAME, Manifest, parse_manifest, read_manifest
from provider.commands.backup.stores import copy_checked, locked, remove_copy
from provider.errors import StoreError
from provider.sqlite import open_private

GOOD = Manifest("3.0.0", "2026-11-30T10:00:00+00:00", "0xA", {"8996": "0xA"}, {"nonces.db": "00"})


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(StoreError) as error:
        yield
    assert reason in (error.value.detail or "")


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(GOOD.text().encode()) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"chain_addresses": []},
        {"chain_addresses": {"8996": 1}},
        {"files": None},
        {"files": ["nonces.db"]},
        {"files": {"nonces.db": {}}},
        {"files": {"..": "00"}},
        {"files": {"": "00"}},
        {"files": {"a/b.db": "00"}},
        {"files": {"nonces.db-wal": "00"}},
        {"files": {"nonces\u0000.db": "00"}},
        {"address": None},
        {"made_at": 5},
        {"version": ["3"]},
        {"made_at": "2026\u001b]0;title\u0007"},
        {"address": "0xA\n0xB"},
        {"version": "3.0.0\u009b2J"},
        {"chain_addresses": {"8996": "0x\u001b[2J"}},
        {"chain_addresses": {"\u001b[2J": "0xA"}},
        {"format": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_an_odd_manifest_is_none(change: dict[str, object]) -> None:
    assert parse_manifest(json.dumps({**json.loads(GOOD.text()), **change}).encode()) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_manifest_is_none(text: bytes) -> None:
    assert parse_manifest(text) is None


@pytest.mark.parametrize("name", [FILE_NAME, "nonces.db"])
def test_a_backup_with_a_pipe_or_a_folder_in_it_is_refused_at_once(tmp_path: Path, name: str) -> None:
    for make in (os.mkfifo, os.mkdir):
        folder = tmp_path / make.__name__
        folder.mkdir()
        if name != FILE_NAME:
            (folder / FILE_NAME).write_text(GOOD.text())
        make(folder / name)
        with refused("not a regular file"):
            read_manifest(folder)


def test_what_a_killed_restore_left_is_no_part_of_the_next(tmp_path: Path) -> None:
    """SQLite takes a log that lies beside a file for its own."""
    backup, copy = tmp_path / "nonces.db", tmp_path / "store.restoring"
    with closing(sqlite3.connect(backup)) as connection:
        connection.execute("CREATE TABLE kept (a)")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE left_behind (a)")
        left = {end: Path(f"{copy}{end}").read_bytes() for end in ("", "-wal")}
    for end, data in left.items():
        Path(f"{copy}{end}").write_bytes(data)
    remove_copy(copy)
    copy_checked(backup, copy, hashlib.sha256(backup.read_bytes()).hexdigest())
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]


def test_a_file_is_locked_until_it_is_written(tmp_path: Path) -> None:
    """A server that starts in the middle would go on with the old file, or write into the new one."""
    path = tmp_path / "store"
    with closing(open_private(path, busy_timeout_seconds=0)) as connection:
        connection.execute("CREATE TABLE old (a)")
    with locked(path) as target:
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("SELECT * FROM old")
        with refused("a server is using it"), locked(path):
            pass
        with closing(sqlite3.connect(tmp_path / "copy")) as copy:
            copy.execute("CREATE TABLE new (a)")
            copy.backup(target)
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("SELECT * FROM new")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("new",)]


def test_a_file_that_is_in_use_is_not_locked(tmp_path: Path) -> None:
    with closing(open_private(tmp_path / "store", busy_timeout_seconds=0)) as connection:
        connection.execute("CREATE TABLE old (a)")
        with refused("a server is using it"), locked(tmp_path / "store"):
            pass


def test_what_is_copied_has_the_digest_and_nothing_of_a_log_beside_it(tmp_path: Path) -> None:
    source = tmp_path / "nonces.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kept (a)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        connection.execute("CREATE TABLE planted (a)")
        copy_checked(source, tmp_path / "copy", digest)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with refused("not the file that was backed up"):
            copy_checked(source, tmp_path / "other", digest)
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]
