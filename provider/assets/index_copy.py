"""Copies the metadata index between hosts: exports a file, and imports the chains in it that are ahead of ours.

Blocking. Both may run beside a server. An imported file is trusted as far as its owner: the next look at a node only
shows whether its last blocks belong to the chain.
"""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from provider.assets import index_sql as sql
from provider.errors import StoreError
from provider.sqlite import explain, schema_version, transaction


@dataclass(frozen=True, slots=True)
class ChainCopy:
    """A chain of a copied index, with its number of data NFTs. `is_taken`: False where ours is as far or farther."""

    chain_id: int
    last_block: int
    data_nfts: int
    is_taken: bool = True


def export_index(path: Path, target: Path) -> list[ChainCopy]:
    """Write the index at `path` as of now to the new file `target`. Raises StoreError."""
    if not path.is_file():
        raise StoreError(detail=f"{path}: there is no metadata index")
    if target.exists():
        raise StoreError(detail=f"{target}: exists already")
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        with closing(_read_only(path)) as connection:
            _check(connection, path)
            # A snapshot: a server that writes meanwhile disturbs nothing and is not disturbed.
            connection.execute("VACUUM INTO ?", (str(part),))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
        with closing(_read_only(target)) as connection:
            return _chains(connection)
    except sqlite3.Error as error:
        raise StoreError(detail=explain(path, error)) from None
    except OSError as error:
        raise StoreError(detail=f"{target}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def import_index(source: Path, path: Path, *, busy_timeout_seconds: float = 60.0) -> list[ChainCopy]:
    """Take over from the file `source` each chain that the index at `path` has not read as far.

    Each chain is one transaction. Raises StoreError; what was taken over before stays.
    """
    if not source.is_file():
        raise StoreError(detail=f"{source}: no such file")
    try:
        with closing(_read_only(source)) as connection:
            _check(connection, source)
            chains = _chains(connection)
    except sqlite3.Error as error:
        raise StoreError(detail=explain(source, error)) from None
    try:
        with closing(sql.open_index(path, busy_timeout_seconds=busy_timeout_seconds)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("ATTACH ? AS copy", (str(source),))
            return [
                ChainCopy(chain.chain_id, chain.last_block, chain.data_nfts, _take(connection, chain.chain_id))
                for chain in chains
            ]
    except sqlite3.Error as error:
        raise StoreError(detail=explain(path, error)) from None


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a file is an undamaged index of this version."""
    if schema_version(connection) != sql.SCHEMA_VERSION or sql.TABLES - _tables(connection):
        raise StoreError(detail=f"{path}: it is not a metadata index of this version")
    (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if told != "ok":
        raise StoreError(detail=f"{path}: it is damaged: {told}")
    # SQLite keeps text in a column of integers. These values are shown in a terminal and compared with numbers.
    odd = " OR ".join(f"typeof({column}) <> 'integer'" for column in ("chain_id", "start_block", "last_block"))
    if connection.execute(f"SELECT 1 FROM index_scans WHERE {odd}").fetchone() is not None:  # noqa: S608 - constants
        raise StoreError(detail=f"{path}: it is damaged: a block or a chain is no number")


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _chains(connection: sqlite3.Connection) -> list[ChainCopy]:
    rows = connection.execute("SELECT chain_id, last_block FROM index_scans ORDER BY chain_id").fetchall()
    count = "SELECT count(*) FROM index_nfts WHERE chain_id = ?"
    return [ChainCopy(number, last, connection.execute(count, (number,)).fetchone()[0]) for number, last in rows]


def _take(connection: sqlite3.Connection, chain_id: int) -> bool:
    """Replace what the index has of a chain, if the copy was read farther from the same factory."""
    query = "SELECT factory, start_block, last_block FROM {}.index_scans WHERE chain_id = ?"
    with transaction(connection):
        theirs = connection.execute(query.format("copy"), (chain_id,)).fetchone()
        ours = connection.execute(query.format("main"), (chain_id,)).fetchone()
        if ours is not None and (ours[0] != theirs[0] or ours[2] >= theirs[2] or ours[1] < theirs[1]):
            return False
        sql.replace_chain(connection, chain_id, "copy")
    return True
