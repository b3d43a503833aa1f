"""Sends the single calls that callers make in one turn of the event loop together, as one batch.

Calls that run a stranger's contract go in separate requests, one for each contract.
"""

import asyncio
from typing import TYPE_CHECKING

from provider.chain.jsonrpc import RpcCall
from provider.errors import ChainUnavailable

if TYPE_CHECKING:
    from provider.chain.rpc import Rpc

MAX_BATCH_CALLS = 50
"""Calls that `submit` sends in one HTTP request. Public services refuse batches above 50 to 1000 calls."""


class Submissions:
    """Collects calls until the end of this turn of the loop. `rpc` sends them."""

    def __init__(self, rpc: "Rpc") -> None:
        self._rpc = rpc
        self._pending: list[tuple[RpcCall, asyncio.Future[object]]] = []

    def submit(self, call: RpcCall) -> asyncio.Future[object]:
        """Return a future of the result or RpcFault of `call`. All calls of one turn of the loop are sent in one batch.

        The future may raise ChainUnavailable. Cancelling it does not affect the others.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        self._pending.append((call, answer))
        if len(self._pending) == 1:
            loop.call_soon(self._send_pending)
        return answer

    def _send_pending(self) -> None:
        pending, self._pending = self._pending, []
        by_target: dict[str | None, list[tuple[RpcCall, asyncio.Future[object]]]] = {}
        for entry in pending:
            by_target.setdefault(entry[0].target, []).append(entry)
        for together in by_target.values():
            for start in range(0, len(together), MAX_BATCH_CALLS):
                self._rpc.start(self._send(together[start : start + MAX_BATCH_CALLS]))

    async def _send(self, pending: list[tuple[RpcCall, asyncio.Future[object]]]) -> None:
        waited_for = [(call, answer) for call, answer in pending if not answer.done()]
        if not waited_for:
            return
        try:
            results = await self._rpc.batch([call for call, _ in waited_for], together=False)
            for (_, answer), result in zip(waited_for, results, strict=True):
                if not answer.done():
                    answer.set_result(result)
        except ChainUnavailable as error:
            for _, answer in waited_for:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in waited_for:
                answer.cancel()  # no effect on one that has its result
