"""Runs work on large documents on one thread beside the event loop.

The largest body bounds the length of one piece of work. The waiting work is bounded too, in all and for each client.
It is dropped when its request ends.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from provider.admission.clients import Client
from provider.errors import BodiesFull

# A document takes a tenth of a second at most, so the last in the queue still gets its answer in time.
MAX_WAITING = 16
MAX_WAITING_OF_CLIENT = 4

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OffLoop:
    """Runs calls one after another, in the order in which they came."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._by_client: dict[Client, int] = {}

    async def run(
        self,
        client: Client | None,
        call: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Return the result of `call` for a request of `client`. Raises BodiesFull, and what `call` raises."""
        of_client = 0 if client is None else self._by_client.get(client, 0)
        if self._waiting >= MAX_WAITING or of_client >= MAX_WAITING_OF_CLIENT:
            raise BodiesFull
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._count(client, 1)
        try:
            future = self._executor.submit(call, *arguments, **named)
            return await asyncio.wrap_future(future)
        finally:
            self._count(client, -1)

    def _count(self, client: Client | None, change: int) -> None:
        self._waiting += change
        if client is None:
            return
        of_client = self._by_client.get(client, 0) + change
        if of_client:
            self._by_client[client] = of_client
        else:
            del self._by_client[client]

    def close(self) -> None:
        """Take no more work."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
