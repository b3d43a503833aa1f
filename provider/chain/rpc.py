"""The JSON-RPC client of one chain with several endpoints: calls in, results out, ChainUnavailable if none answers.

It decides which endpoint to ask next and when to believe an answer. It does not interpret results. If an endpoint is
slow, the next one is asked as well: "hedged requests" (Dean and Barroso, The Tail at Scale, 2013). If an answer is a
fault and not the chain's answer (`jsonrpc.is_answer`), the next endpoint is asked for that call, without ejecting the
first one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from provider.chain.collected import Collected
from provider.chain.config import RpcConfig
from provider.chain.endpoint import Endpoint, EndpointFailed
from provider.chain.endpoints import Endpoints, is_foreign
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.errors import ChainError, ChainUnavailable
from provider.observability.metrics.backends import Chains
from provider.outgoing.sessions import Outgoing

MAX_BATCH_CALLS = 50
"""Calls that `submit` sends in one HTTP request. Public services refuse batches above 50 to 1000 calls."""
# More would multiply the load of a chain that is slow everywhere.
MAX_UNDER_WAY = 2

_Pending = tuple[RpcCall, asyncio.Future[object]]
Runner = TypeVar("Runner")


class Rpc:
    """Pooled keep-alive JSON-RPC client of one chain with failover.

    urls: the endpoints, in order of preference.
    config: `timeout_seconds` limits one HTTP exchange with one endpoint. A call waits at most this times the number of
        endpoints, or twice that if a batch is refused late and its calls are sent singly.
    chain_id: the chain of every endpoint. None: not known yet; nothing is verified until `learn_chain_id`.
    metrics: None: nothing is counted.

    The first call opens the HTTP session, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        config: RpcConfig,
        *,
        chain_id: int | None,
        metrics: Chains | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._hedge_after_seconds = config.hedge_after_seconds
        self._metrics = metrics or Chains(is_on=False)
        self._pending: list[_Pending] = []
        self.endpoints = Endpoints(
            urls, config, chain_id=chain_id, metrics=self._metrics, outgoing=outgoing or Outgoing()
        )

    def __repr__(self) -> str:
        return f"Rpc(chain_id={self.chain_id}, endpoints={len(self.endpoints)})"

    @property
    def chain_id(self) -> int | None:
        """The chain that every endpoint must serve; None if it is not known yet."""
        return self.endpoints.chain_id

    async def batch(self, calls: Sequence[RpcCall], *, together: bool = True) -> list[object]:
        """Return the results in the order of `calls`, each a JSON value or an RpcFault, in one HTTP round trip.

        `together`: all results come from one endpoint. Otherwise each comes from the first endpoint that answers that
        call. The first answer of an endpoint is believed only with its chain id, which the same round trip asks for.
        Raises ChainUnavailable.
        """
        return await self._ask_in_turn(self.endpoints.in_order(), calls, together=together) if calls else []

    async def elsewhere(self, calls: Sequence[RpcCall]) -> list[object] | None:
        """Ask as `batch` does, but not the first endpoint, whose node may not have seen something yet.

        Returns None if there is no other endpoint or none answers.
        """
        others = self.endpoints.in_order()[1:]
        try:
            return await self._ask_in_turn(others, calls, together=True) if others else None
        except ChainUnavailable:
            return None

    def submit(self, call: RpcCall) -> asyncio.Future[object]:
        """Return a future of the result or RpcFault of `call`. All calls of one turn of the loop are sent in one batch.

        Calls that run a stranger's contract go in separate requests, one for each contract. The future may raise
        ChainUnavailable. Cancelling it does not affect the others.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        self._pending.append((call, answer))
        if len(self._pending) == 1:
            loop.call_soon(self._send_pending)
        return answer

    async def call(self, method: str, *params: object) -> object:
        """Return the result of one call. Raises ChainUnavailable, and ChainError if the node answers with an error."""
        (result,) = await self.batch([RpcCall(method, params)])
        if isinstance(result, RpcFault):
            raise ChainError(detail=f"{method}: code {result.code}: {result.message}")
        return result

    async def learn_chain_id(self) -> int:
        """Return the chain id of the first endpoint that answers. From then on, all endpoints must have it.

        Nothing is asked if the id is known. Raises ChainError.
        """
        if self.chain_id is not None:
            return self.chain_id
        try:
            return self.endpoints.learn(await self.call("eth_chainId"))
        except EndpointFailed as failure:
            raise ChainError(detail=f"eth_chainId: {failure}") from None

    async def close(self) -> None:
        """End background work and close the connections. Later calls raise ChainUnavailable."""
        await self.endpoints.close()

    def _send_pending(self) -> None:
        pending, self._pending = self._pending, []
        by_target: dict[str | None, list[_Pending]] = {}
        for entry in pending:
            by_target.setdefault(entry[0].target, []).append(entry)
        for together in by_target.values():
            for start in range(0, len(together), MAX_BATCH_CALLS):
                self.endpoints.start(self._send(together[start : start + MAX_BATCH_CALLS]))

    async def _send(self, pending: list[_Pending]) -> None:
        waited_for = [(call, answer) for call, answer in pending if not answer.done()]
        if not waited_for:
            return
        try:
            results = await self.batch([call for call, _ in waited_for], together=False)
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

    async def _ask_in_turn(
        self, endpoints: Sequence[Endpoint], calls: Sequence[RpcCall], *, together: bool
    ) -> list[object]:
        """Ask one endpoint after another until all calls are answered. Slow ones, faults and failures lead to the next.

        `together`: all results must come from one endpoint. A call that none answers has the last one's fault.
        Raises ChainUnavailable.
        """
        problems: list[str] = []
        collected: Collected[Endpoint] = Collected(calls, together=together)

        async def ask(endpoint: Endpoint) -> None:
            try:
                positions = collected.wanted()
                results = await self.endpoints.ask(endpoint, [calls[position] for position in positions])
                unanswered = collected.take(endpoint, positions, results)
                if unanswered is not None:
                    raise EndpointFailed("fault", unanswered)
            except EndpointFailed as failure:
                problems.append(f"endpoint {endpoint.index + 1}: {failure}")
                raise

        hedged = partial(self._metrics.hedges.add, self.chain_id)
        won = await first_answer(endpoints, ask, patience_seconds=self._hedge_after_seconds, hedged=hedged)
        results = collected.results()
        if results is None:
            raise self.endpoints.unavailable(problems)
        if not is_foreign(calls):
            _note_race(endpoints, won, collected.outdone())
        return results


def _note_race(endpoints: Sequence[Endpoint], won: "Won[Endpoint] | None", outdone: Sequence[Endpoint]) -> None:
    """Update the health of the endpoints from who answered first."""
    now = asyncio.get_running_loop().time()
    for endpoint in outdone:
        endpoint.health.fault(now)
    if won is not None:
        for endpoint in won.beaten:
            endpoint.health.lose(now)
        if won.runner is endpoints[0]:
            won.runner.health.win()


@dataclass(frozen=True, slots=True)
class Won(Generic[Runner]):
    """The runner that answered first, and the runners that were asked earlier without answering."""

    runner: Runner
    beaten: tuple[Runner, ...]


async def first_answer(
    runners: Sequence[Runner],
    ask: Callable[[Runner], Awaitable[None]],
    *,
    patience_seconds: float,
    hedged: Callable[[], None],
) -> Won[Runner] | None:
    """Return who answers first; None if every runner raised EndpointFailed. The other questions are cancelled.

    Args:
        runners: in the order in which to ask them.
        ask: asks one runner. After EndpointFailed the next one is asked. Any other exception is raised.
        patience_seconds: time without an answer after which the next runner is asked as well; 0 for never.
        hedged: called when a further runner is asked because of the time.
    """
    waiting = list(runners)
    under_way: dict[asyncio.Future[None], Runner] = {}
    try:
        while waiting or under_way:
            if waiting and len(under_way) < MAX_UNDER_WAY:
                runner = waiting.pop(0)
                under_way[asyncio.ensure_future(ask(runner))] = runner
            limit = patience_seconds if patience_seconds and waiting and len(under_way) < MAX_UNDER_WAY else None
            done, _ = await asyncio.wait(under_way, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                hedged()
            for future in done:
                runner = under_way.pop(future)
                error = future.exception()
                if error is None:
                    earlier = runners[: runners.index(runner)]
                    return Won(runner, tuple(one for one in under_way.values() if one in earlier))
                if not isinstance(error, EndpointFailed):
                    raise error
        return None
    finally:
        for future in under_way:
            future.cancel()
