"""Looks now and then how far each endpoint of a chain is, and marks those that stay behind."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from provider.chain.endpoint import Endpoint, EndpointFailed, parse_quantity
from provider.chain.health import behind
from provider.chain.jsonrpc import RpcCall
from provider.errors import ChainUnavailable

HeightObserver = Callable[[int, int], None]
"""Called with an endpoint's position and the number of its latest block."""

_BLOCK_NUMBER = RpcCall("eth_blockNumber")
_log = logging.getLogger(__name__)


class HeightWatch:
    """`ask` is how the chain's client asks one endpoint, health and metrics included."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        ask: Callable[[Endpoint, Sequence[RpcCall]], Awaitable[list[object]]],
        *,
        chain: str,
        max_lag_blocks: int,
        observe: HeightObserver,
    ) -> None:
        self._endpoints = endpoints
        self._ask = ask
        self._chain = chain
        self._max_lag_blocks = max_lag_blocks
        self._observe = observe

    async def run(self, every_seconds: float) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every_seconds)

    async def look(self) -> None:
        """Once, at all that are not put aside."""
        await asyncio.gather(*(self._look_at(endpoint) for endpoint in self._endpoints))
        self._compare()

    async def _look_at(self, endpoint: Endpoint) -> None:
        if asyncio.get_running_loop().time() < endpoint.health.aside_until:
            return
        try:
            (result,) = await self._ask(endpoint, [_BLOCK_NUMBER])
            height = parse_quantity(result, "eth_blockNumber")
        except (EndpointFailed, ChainUnavailable):
            endpoint.health.height = None
        else:
            endpoint.health.height = height
            self._observe(endpoint.index, height)

    def _compare(self) -> None:
        heights = {
            endpoint: endpoint.health.height
            for endpoint in self._endpoints
            if endpoint.health.height is not None and not endpoint.health.failures
        }
        late = behind(heights, self._max_lag_blocks)
        for endpoint in self._endpoints:
            if (endpoint in late) != endpoint.health.behind:
                endpoint.health.behind = endpoint in late
                told = "fell behind the others" if endpoint in late else "is level again"
                _log.warning("chain %s endpoint %d %s", self._chain, endpoint.index + 1, told)
