"""JSON-RPC access to one chain over several endpoints: calls in, results out, ChainUnavailable when none answers.

Which endpoint is asked and believed is decided in `failover.py`. No meaning is given to results here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from provider.chain.config import RpcConfig
from provider.chain.endpoint import Endpoint, EndpointFailed, EndpointState
from provider.chain.failover import Failover, parse_chain_id
from provider.chain.health import EndpointHealth, tell
from provider.chain.height_watch import HeightObserver, HeightWatch
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.rpc_observer import NoEvents, RpcEvents, RpcObserver, unobserved
from provider.chain.submissions import Submissions
from provider.errors import ChainError, ChainUnavailable
from provider.outgoing.sessions import Outgoing


class Rpc:
    """Pooled keep-alive JSON-RPC client of one chain with failover.

    `chain_id` None: unknown so far, nothing is verified until `learn_chain_id`. `config.timeout_seconds` holds for one
    HTTP exchange with one endpoint, so the longest wait of a call is that times the number of endpoints
    (twice that where a batch is refused late and its calls are sent singly). The HTTP session is opened by the first
    call, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        config: RpcConfig,
        *,
        chain_id: int | None,
        observe: RpcObserver = unobserved,
        events: RpcEvents | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        if not urls:
            raise ValueError("at least one RPC endpoint is needed")
        outgoing = outgoing or Outgoing()
        self._config = config
        self._endpoints = [
            Endpoint(
                url,
                index=index,
                timeout_seconds=config.timeout_seconds,
                proxy=outgoing.proxy_of(url),
            )
            for index, url in enumerate(urls)
        ]
        self._failover = Failover(
            self._endpoints,
            chain_id=chain_id,
            hedge_after_seconds=config.hedge_after_seconds,
            observe=observe,
            events=events or NoEvents(),
            outgoing=outgoing,
        )
        self._submissions = Submissions(partial(self.batch, together=False), start=self._failover.start)
        self._heights: HeightWatch | None = None

    def __repr__(self) -> str:
        return f"Rpc(chain_id={self._failover.chain_id}, endpoints={len(self._endpoints)})"

    @property
    def chain_id(self) -> int | None:
        """The chain every endpoint must answer for."""
        return self._failover.chain_id

    @property
    def is_available(self) -> bool:
        """False while every endpoint is put aside after a failure."""
        return any(not endpoint.health.failures for endpoint in self._endpoints)

    def endpoints_up(self) -> Mapping[int, bool]:
        """By position: is the endpoint not put aside?"""
        return {endpoint.index: not endpoint.health.failures for endpoint in self._endpoints}

    async def batch(self, calls: Sequence[RpcCall], *, together: bool = True) -> list[object]:
        """Results in the order of `calls`, each a JSON value or an RpcFault; one HTTP round trip.

        `together`: all are of one endpoint; else each is of the first that answers that call. An endpoint's chain id
        is asked in the same round trip before its first answer is believed. Raises ChainUnavailable.
        """
        if not calls:
            return []
        return await self._failover.ask_in_turn(self._failover.in_order(), calls, together=together)

    async def elsewhere(self, calls: Sequence[RpcCall]) -> list[object] | None:
        """As `batch`, but of an endpoint other than the one asked first: None when there is none or none answers.

        For what one node may not have seen yet.
        """
        others = self._failover.in_order()[1:]
        try:
            return await self._failover.ask_in_turn(others, calls, together=True) if others else None
        except ChainUnavailable:
            return None

    def submit(self, call: RpcCall) -> asyncio.Future[object]:
        """Result or RpcFault of `call`, to be awaited; sent in one batch with all others of this turn of the loop.

        Awaiting it raises ChainUnavailable. Cancelling one leaves the others alone.
        """
        return self._submissions.submit(call)

    async def call(self, method: str, *params: object) -> object:
        """Result of one call. Raises ChainUnavailable, and ChainError when the node answers with an error."""
        (result,) = await self.batch([RpcCall(method, params)])
        if isinstance(result, RpcFault):
            raise ChainError(detail=f"{method}: code {result.code}: {result.message}")
        return result

    async def learn_chain_id(self) -> int:
        """Chain id of the first endpoint that answers; from here on all must agree with it.

        Returns the known one without asking. Raises ChainError.
        """
        if self._failover.chain_id is None:
            try:
                self._failover.chain_id = parse_chain_id(await self.call("eth_chainId"))
            except EndpointFailed as failure:
                raise ChainError(detail=f"eth_chainId: {failure}") from None
            for endpoint in self._endpoints:
                endpoint.health.verified = False
        return self._failover.chain_id

    async def probe(self) -> list[EndpointState]:
        """State of every endpoint, asked now and at once; changes nothing about who is asked next."""
        return list(await asyncio.gather(*(self._failover.probe(endpoint) for endpoint in self._endpoints)))

    async def close(self) -> None:
        """End background work and close the connections; further calls raise ChainUnavailable."""
        await self._failover.close()

    def watch(self, observe: HeightObserver) -> None:
        """From here on look at the height of every endpoint now and then; one too far behind is asked last.

        A single endpoint, which would be asked all the same, is looked at by `look` only.
        """
        self._heights = HeightWatch(
            self._endpoints,
            self._failover.ask,
            chain=str(self._failover.chain_id),
            max_lag_blocks=self._config.max_lag_blocks,
            observe=observe,
        )
        if len(self._endpoints) > 1 and self._config.watch_seconds:
            self._failover.start(self._heights.run(self._config.watch_seconds))

    async def look(self) -> None:
        """Ask every endpoint that is not put aside for its height, now; nothing before `watch`."""
        if self._heights is not None and not self._failover.is_closed:
            await self._heights.look()

    def healths(self) -> list[EndpointHealth]:
        """What is known of every endpoint; nothing is asked."""
        now = asyncio.get_running_loop().time()
        return [tell(endpoint.index, endpoint.health, now) for endpoint in self._endpoints]
