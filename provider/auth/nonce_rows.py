"""The rows of used nonces in the SQLite store: a group of uses in, an answer for each out, all durable by then.

Runs on the store's thread. Nearly every use comes from an address whose row this process wrote itself, so that row is
remembered, decided upon, and replaced where the file still holds it: one statement instead of two. Where the file holds
another one, a different process was here, and every use is decided by the file.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_rule import NOTHING, Held, NonceUse, decide, with_unknown_past
from provider.auth.nonce_store import nonce_refused
from provider.errors import NonceRefused
from provider.sqlite import transaction

# A row is mostly about 300 bytes and at most some 5 KiB. Forgetting costs a few statements, so the bound needs no
# order of use.
MAX_REMEMBERED = 5_000

# The nonce is compared too: an operator may have corrected it by hand.
_SWAP = "UPDATE spent_nonces SET nonce = ?, memory = ?, uses = ? WHERE address = ? AND uses = ? AND nonce = ?"
_WRITE = "INSERT OR REPLACE INTO spent_nonces (nonce, memory, uses, address) VALUES (?, ?, ?, ?)"
_READ = "SELECT nonce, memory, uses FROM spent_nonces WHERE address = ?"
_SEPARATOR = "|"


class _Row(NamedTuple):
    """What the file holds of an address; `uses` tells one version of the row from another."""

    held: Held
    uses: int


class NonceRows:
    """Decides uses; one for each connection, since what it remembers holds only while that works."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str, _Row] = {}

    def use_all(self, uses: Sequence[NonceUse]) -> list[NonceRefused | None]:
        """None or the refusal for each use, decided in their order; committed. Raises sqlite3.Error."""
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
        """By address its row after the uses; None when something is not clear from here."""
        after: dict[str, _Row] = {}
        for use in uses:
            row = after.get(use.address) or self._known.get(use.address)
            held = row and decide(row.held, use)
            if row is None or held is None:
                return None
            after[use.address] = _Row(held, self._known[use.address].uses + 1)
        return after

    def _swap(self, after: dict[str, _Row]) -> bool:
        """Replace all or nothing."""
        connection = self._connection
        known = self._known
        rows = [
            (*_columns(row), address, known[address].uses, known[address].held.shown) for address, row in after.items()
        ]
        if len(rows) == 1:
            # A transaction of its own: SQLite takes the write lock before it looks.
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
    """The nonce that a checksummed address is told to count on from, None when there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT nonce FROM spent_nonces WHERE address = ?", (address,)).fetchone()
    return None if row is None else str(row[0])


def row_of(address: str, held: Held) -> tuple[str, str, str]:
    """`address`, `nonce` and `memory` of a row that holds this."""
    nonce, memory, _ = _columns(_Row(held, 0))
    return address, nonce, memory


def _columns(row: _Row) -> tuple[str, str, int]:
    held = row.held
    memory = _SEPARATOR.join((held.floor, held.recent, held.messages, held.large, held.marks))
    return held.shown, memory, row.uses


def _read(connection: sqlite3.Connection, address: str) -> _Row:
    """The row of the file. A damaged one is left without an order, and admits nothing."""
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
    """What the two columns of a row say; `nonce` is one. Raises ValueError when `memory` was not written here."""
    if not memory:
        return with_unknown_past(nonce)
    floor, recent, messages, large, marks = memory.split(_SEPARATOR)
    if nonce == large:
        return Held("", "", floor, recent, messages, large, marks)
    return Held(nonce, sortable(nonce), floor, recent, messages, large, marks)


def spent_nonces_query(connection: sqlite3.Connection) -> str:
    """Reads `address`, `nonce` and `memory` from the table of any version."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(spent_nonces)")}
    return f"SELECT address, nonce, {'memory' if 'memory' in columns else repr('')} FROM spent_nonces"  # noqa: S608
