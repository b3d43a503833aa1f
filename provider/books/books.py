"""The books as requests see them: each ended use goes to the health of its file, and to the ledger."""

from provider.books.health import Health
from provider.books.ledger import Ledger
from provider.books.record import Use


class Books:
    """`ledger`: None if nothing is to be recorded."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.health = Health()
        self._ledger = ledger

    def add(self, use: Use) -> None:
        """Enter a use that has ended. Never waits and never raises."""
        self.health.note(use)
        if self._ledger is not None:
            self._ledger.add(use)

    async def close(self) -> None:
        """Write the uses that wait."""
        if self._ledger is not None:
            await self._ledger.close()
