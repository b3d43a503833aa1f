"""Slots for work whose length strangers control: a limit for all clients together, and one for each.

A client waits for its own work only. If all slots are in use, it gets an error at once: in a common queue one stranger
could delay another.
"""

import asyncio
from collections import Counter, deque
from contextvars import ContextVar

from provider.errors import OriginsBusy

Client = bytes
"""A client's key, as made by `admission/clients.py`."""

asking_client: ContextVar[Client | None] = ContextVar("asking_client", default=None)
"""The client whose request runs in this context. None if no limit applies to it."""


class Shares:
    """At most `total` slots in use, at most `per_client` of them by one client. A client waits up to `wait_seconds`.

    Work without a client counts against `total` only: behind its address may be a proxy that serves everyone.
    """

    def __init__(self, *, total: int, per_client: int, wait_seconds: float) -> None:
        self._total, self._per_client, self._wait_seconds = total, per_client, wait_seconds
        self._used: Counter[Client] = Counter()
        self._waiting: dict[Client, deque[asyncio.Future[None]]] = {}
        self.in_use = 0

    async def take(self, client: Client | None) -> None:
        """Take a slot. If the client uses its whole share, wait for one of its own. Raises OriginsBusy."""
        if self.in_use >= self._total:
            raise OriginsBusy(detail="all slots for work on origins are in use")
        if client is not None and self._used[client] >= self._per_client:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await self._wait(client)
            except TimeoutError:
                raise OriginsBusy(detail="the client uses its whole share for work on origins") from None
            return
        self.in_use += 1
        if client is not None:
            self._used[client] += 1

    def give_back(self, client: Client | None) -> None:
        """Return a slot, once for each one taken. The client's next waiter gets it."""
        if client is not None and self._hand_over(client):
            return
        self.in_use -= 1
        if client is not None:
            self._used[client] -= 1
            if not self._used[client]:
                del self._used[client]

    async def _wait(self, client: Client) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(client, deque())
        queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back(client)
            else:
                self._leave(client, waiter)
            raise

    def _leave(self, client: Client, waiter: "asyncio.Future[None]") -> None:
        queue = self._waiting.get(client)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[client]

    def _hand_over(self, client: Client) -> bool:
        queue = self._waiting.get(client)
        while queue:
            waiter = queue.popleft()
            if not queue:
                del self._waiting[client]
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False
