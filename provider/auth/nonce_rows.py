"""The rows of used nonces in the SQLite store. A group of uses comes in; each gets its answer after all are durable.

It runs on the store's thread. Nearly every use comes from an address whose row this process wrote itself. So rows are
remembered: a use is decided from the remembered row, which one statement then replaces if the file still holds it. If
the file holds another row, a different process has written it, and all uses are decided again from the file.
"""

import sqlite3
from collections.abc import Sequence
from os.path import commonprefix
from typing import NamedTuple

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_rule import NOTHING, Held, NonceUse, decide, with_unknown_past
from provider.auth.nonce_store import nonce_refused
from provider.errors import NonceRefused
from provider.sqlite import transaction

# A row usually has about 300 bytes and at most about 5 KiB. Forgetting costs only a few statements, so all rows are
# forgotten together.
MAX_REMEMBERED = 5_000

# The nonce is compared too, because an operator may have corrected it by hand.
_SWAP = "UPDATE spent_nonces SET nonce = ?, memory = ?, uses = ? WHERE address = ? AND uses = ? AND nonce = ?"
_WRITE = "INSERT OR REPLACE INTO spent_nonces (nonce, memory, uses, address) VALUES (?, ?, ?, ?)"
_READ = "SELECT nonce, memory, uses FROM spent_nonces WHERE address = ?"
_SEPARATOR = "|"


class _Row(NamedTuple):
    """The row of an address in the file. `uses` distinguishes the versions of the row."""

    held: Held
    uses: int


class NonceRows:
    """Decides uses. Each connection has its own, because what it remembers is only true while the connection works."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str, _Row] = {}

    def use_all(self, uses: Sequence[NonceUse]) -> list[NonceRefused | None]:
        """Decide and commit the uses in their order. Returns None or the refusal for each. Raises sqlite3.Error."""
        after = self._decided(uses)
        if after is not None and self._swap(after):
            self._remember(after)
            return [None] * len(uses)
        written: dict[str, _Row] = {}
        with transaction(self._connection):
            answers = [self._decide(use, written) for use in uses]
        self._remember(written)
        return answers

    def _decided(self, uses: Sequence[NonceUse]) -> dict[str, _Row] | None:
        """Return by address its row after the uses; None if the remembered rows do not allow every use."""
        after: dict[str, _Row] = {}
        for use in uses:
            row = after.get(use.address) or self._known.get(use.address)
            held = row and decide(row.held, use)
            if row is None or held is None:
                return None
            after[use.address] = _Row(held, self._known[use.address].uses + 1)
        return after

    def _swap(self, after: dict[str, _Row]) -> bool:
        """Replace the rows, all or none. False if the file holds another version of one."""
        connection = self._connection
        known = self._known
        rows = [
            (*_columns(row), address, known[address].uses, known[address].held.shown) for address, row in after.items()
        ]
        if len(rows) == 1:
            # The statement is a transaction of its own: SQLite takes the write lock before it reads.
            return connection.execute(_SWAP, rows[0]).rowcount == 1
        connection.execute("BEGIN IMMEDIATE")
        try:
            complete = connection.executemany(_SWAP, rows).rowcount == len(rows)
            connection.execute("COMMIT" if complete else "ROLLBACK")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return complete

    def _decide(self, use: NonceUse, written: dict[str, _Row]) -> NonceRefused | None:
        row = written.get(use.address) or _read(self._connection, use.address)
        if row.held.nonce and not row.held.order:
            return nonce_refused(given=use.nonce, stored=row.held.nonce)
        held = decide(row.held, use)
        if held is None:
            return nonce_refused(given=use.nonce, stored=row.held.shown_to(use.nonce))
        written[use.address] = after = _Row(held, row.uses + 1)
        self._connection.execute(_WRITE, (*_columns(after), use.address))
        return None

    def _remember(self, written: dict[str, _Row]) -> None:
        if len(self._known) + len(written) > MAX_REMEMBERED:
            self._known.clear()
        self._known.update(written)


def last_nonce(connection: sqlite3.Connection, address: str) -> str | None:
    """Return the nonce that `GET nonce` shows for a checksummed address, or None. Raises sqlite3.Error."""
    row = connection.execute("SELECT nonce FROM spent_nonces WHERE address = ?", (address,)).fetchone()
    return None if row is None else str(row[0])


def row_of(address: str, held: Held) -> tuple[str, str, str]:
    """Return the columns `address`, `nonce` and `memory` of a row that stores `held`."""
    nonce, memory, _ = _columns(_Row(held, 0))
    return address, nonce, memory


def _columns(row: _Row) -> tuple[str, str, int]:
    held = row.held
    first, recent = _without_common_start(held.recent)
    memory = _SEPARATOR.join((held.floor, first, recent, held.messages, held.large, held.marks))
    return held.shown, memory, row.uses


def _without_common_start(recent: str) -> tuple[str, str]:
    """Split `Held.recent` into the text that all its nonces begin with, and the rest.

    Nonces of ten minutes differ in their last digits only. Without the others a full row stays below the 1002 bytes
    that fit into a page of a table without rowids (sqlite.org/fileformat2.html, section 1.6). One byte more costs two
    more pages in every commit.
    """
    # They are sorted, so all of them share what the first and the last one share.
    start = commonprefix((recent[1:].partition(" ")[0], recent.rpartition(" ")[2]))  # noqa: RUF071 - of texts
    return start, recent.replace(f" {start}", " ") if start else recent


def _read(connection: sqlite3.Connection, address: str) -> _Row:
    """Read the row of the file. A damaged row is returned without an order, and allows no use."""
    found = connection.execute(_READ, (address,)).fetchone()
    if found is None:
        return _Row(NOTHING, 0)
    nonce, memory, uses = str(found[0]), str(found[1]), int(found[2])
    if parse_nonce(nonce) is None:
        return _Row(Held(nonce), uses)
    try:
        return _Row(held_from(nonce, memory), uses)
    except ValueError:
        return _Row(Held(nonce), uses)


def held_from(nonce: str, memory: str) -> Held:
    """Parse the columns `nonce` (a valid nonce) and `memory`. Raises ValueError if `memory` was not written here."""
    if not memory:
        return with_unknown_past(nonce)
    floor, *start, recent, messages, large, marks = memory.split(_SEPARATOR)
    if start:
        # Rows of schema version 3 have whole nonces here.
        (common,) = start
        recent = recent.replace(" ", f" {common}")
    if nonce == large:
        return Held("", "", floor, recent, messages, large, marks)
    return Held(nonce, sortable(nonce), floor, recent, messages, large, marks)


def spent_nonces_query(connection: sqlite3.Connection) -> str:
    """Return the query for `address`, `nonce` and `memory` that suits the table's version."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(spent_nonces)")}
    return f"SELECT address, nonce, {'memory' if 'memory' in columns else repr('')} FROM spent_nonces"  # noqa: S608
