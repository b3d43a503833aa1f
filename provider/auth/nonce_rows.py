"""The rows of used nonces in the SQLite store: a group of uses in, an answer for each out, all durable by then.

Runs on the store's thread. Nearly every use comes from an address whose greatest nonce this process wrote itself, so
that one is remembered, and the file is asked to replace exactly it: one statement instead of four, whatever the size
of the group. Where the file holds another value, a different process was here, and every use is decided by the file.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_store import nonce_refused
from provider.auth.nonce_window import canonical_text, moment_of, oldest_accepted
from provider.errors import NonceRefused
from provider.sqlite import transaction

# About 2 MiB of addresses and nonces. Forgetting costs a few statements, so the bound needs no order of use.
MAX_REMEMBERED = 10_000

_SWAP = "UPDATE spent_nonces SET nonce = ? WHERE address = ? AND nonce = ?"
# CROSS JOIN keeps SQLite from reading the table first and the few rows for each of its own.
_SWAP_ALL = """
    INSERT OR REPLACE INTO spent_nonces
    SELECT held.address, json_extract(swap.value, '$[2]') FROM json_each(?) AS swap CROSS JOIN spent_nonces AS held
    WHERE held.address = json_extract(swap.value, '$[0]') AND held.nonce = json_extract(swap.value, '$[1]')
"""


class NonceUse(NamedTuple):
    """One nonce (valid decimal text) of a checksummed address. Without a window nonces must rise."""

    address: str
    nonce: str
    window_seconds: int = 0


class NonceRows:
    """Decides uses; one for each connection, since what it remembers holds only while that works."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._greatest: dict[str, str] = {}

    def use_all(self, uses: Sequence[NonceUse]) -> list[NonceRefused | None]:
        """None or the refusal for each use, decided in their order; committed. Raises sqlite3.Error."""
        swaps = self._swaps(uses)
        if swaps is not None and self._swap(swaps):
            self._remember({address: new for address, (_, new) in swaps.items()})
            return [None] * len(uses)
        written: dict[str, str] = {}
        with transaction(self._connection):
            answers = [self._decide(use, written) for use in uses]
        self._remember(written)
        return answers

    def _swaps(self, uses: Sequence[NonceUse]) -> dict[str, tuple[str, str]] | None:
        """By address what the file should hold and what it shall hold; None when something is not clear from here."""
        swaps: dict[str, tuple[str, str]] = {}
        for address, nonce, window_seconds in uses:
            if window_seconds:
                return None
            held = self._greatest.get(address)
            if held is None:
                return None
            first, last = swaps.get(address, (held, held))
            if not is_greater(nonce, last):
                return None
            swaps[address] = (first, nonce)
        return swaps

    def _swap(self, swaps: dict[str, tuple[str, str]]) -> bool:
        """Replace all or nothing."""
        connection = self._connection
        if len(swaps) == 1:
            ((address, (old, new)),) = swaps.items()
            # A transaction of its own: SQLite takes the write lock before it looks.
            return connection.execute(_SWAP, (new, address, old)).rowcount == 1
        rows = json.dumps([(address, old, new) for address, (old, new) in swaps.items()])
        connection.execute("BEGIN IMMEDIATE")
        try:
            complete = connection.execute(_SWAP_ALL, (rows,)).rowcount == len(swaps)
            connection.execute("COMMIT" if complete else "ROLLBACK")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return complete

    def _decide(self, use: NonceUse, written: dict[str, str]) -> NonceRefused | None:
        stored = last_nonce(self._connection, use.address)
        rises = stored is None or is_greater(use.nonce, stored)
        if stored is not None and not rises and (rises is None or not use.window_seconds):
            return nonce_refused(given=use.nonce, stored=stored)
        if use.window_seconds:
            if stored is not None:
                self._begin_window(use.address, stored)
                if not rises and not self._is_free_in_window(use, stored):
                    return nonce_refused(given=use.nonce, stored=stored)
            self._keep_in_window(use, rises=bool(rises))
        if rises:
            self._connection.execute("INSERT OR REPLACE INTO spent_nonces VALUES (?, ?)", use[:2])
            written[use.address] = use.nonce
        return None

    def _begin_window(self, address: str, stored: str) -> None:
        """Where the greatest nonce was not used in a window, nobody knows which below it were: none of them is free.

        So it is at the first use in a window, and after uses without one.
        """
        rows, name = self._connection, canonical_text(stored)
        known = "SELECT 1 FROM window_nonces WHERE address = ? AND nonce = ?"
        if rows.execute(known, (address, name)).fetchone() is None:
            rows.execute("DELETE FROM window_nonces WHERE address = ?", (address,))
            rows.execute("INSERT INTO window_nonces VALUES (?, ?, ?, 1)", (address, name, moment_of(stored)))

    def _is_free_in_window(self, use: NonceUse, stored: str) -> bool:
        """Is a nonce that does not rise young enough, above the floor, and not used yet?"""
        oldest = oldest_accepted(stored, use.window_seconds)
        given = parse_nonce(use.nonce)
        if oldest is None or given is None or given < oldest:
            return False
        rows = self._connection
        floor = rows.execute(
            "SELECT nonce FROM window_nonces WHERE address = ? AND is_floor", (use.address,)
        ).fetchone()
        if floor is not None and not is_greater(use.nonce, floor[0]):
            return False
        used = "SELECT 1 FROM window_nonces WHERE address = ? AND nonce = ?"
        return rows.execute(used, (use.address, canonical_text(use.nonce))).fetchone() is None

    def _keep_in_window(self, use: NonceUse, *, rises: bool) -> None:
        rows, name = self._connection, canonical_text(use.nonce)
        rows.execute("INSERT INTO window_nonces VALUES (?, ?, ?, 0)", (use.address, name, moment_of(use.nonce)))
        if not rises:
            return
        oldest = oldest_accepted(use.nonce, use.window_seconds)
        # Below a greatest nonce that is no clock value nothing is accepted, so that nothing else need be known.
        first = moment_of(use.nonce) if oldest is None else moment_of(str(oldest))
        forget = "DELETE FROM window_nonces WHERE address = ? AND moment < ?"
        rows.execute(forget, (use.address, first))

    def _remember(self, written: dict[str, str]) -> None:
        if len(self._greatest) + len(written) > MAX_REMEMBERED:
            self._greatest.clear()
        self._greatest.update(written)


def last_nonce(connection: sqlite3.Connection, address: str) -> str | None:
    """The greatest nonce used by a checksummed address, None when there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT nonce FROM spent_nonces WHERE address = ?", (address,)).fetchone()
    return None if row is None else str(row[0])
