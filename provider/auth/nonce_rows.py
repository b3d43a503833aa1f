"""The rows of used nonces in the SQLite store: a group of uses in, an answer for each out, all durable by then.

Runs on the store's thread. Nearly every use comes from an address whose greatest nonce this process wrote itself, so
that one is remembered, and the file is asked to replace exactly it: one statement instead of four, whatever the size
of the group. Where the file holds another value, a different process was here, and every use is decided by the file.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from provider.auth.nonce import is_greater
from provider.auth.nonce_store import nonce_refused
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
    """One nonce (valid decimal text) of a checksummed address."""

    address: str
    nonce: str


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
        for address, nonce in uses:
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
        if stored is not None and not is_greater(use.nonce, stored):
            return nonce_refused(given=use.nonce, stored=stored)
        self._connection.execute("INSERT OR REPLACE INTO spent_nonces VALUES (?, ?)", use)
        written[use.address] = use.nonce
        return None

    def _remember(self, written: dict[str, str]) -> None:
        if len(self._greatest) + len(written) > MAX_REMEMBERED:
            self._greatest.clear()
        self._greatest.update(written)


def last_nonce(connection: sqlite3.Connection, address: str) -> str | None:
    """The greatest nonce used by a checksummed address, None when there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT nonce FROM spent_nonces WHERE address = ?", (address,)).fetchone()
    return None if row is None else str(row[0])
