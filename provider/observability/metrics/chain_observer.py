"""What the client of a chain tells."""

from provider.observability.metrics.instruments import Instruments


class ChainObserver:
    """What the client of one chain tells; `endpoint` counts from 0."""

    def __init__(self, instruments: Instruments, chain_id: int) -> None:
        self._instruments, self._chain = instruments, chain_id

    def exchange(self, method: str, outcome: str, seconds: float) -> None:
        """One exchange with one endpoint has ended."""
        self._instruments.rpc_seconds.observe(seconds, (self._chain, method, outcome))

    def calls(self, count: int) -> None:
        """So many calls were sent."""
        self._instruments.rpc_calls.add((self._chain,), count)

    def put_aside(self, endpoint: int) -> None:
        """An endpoint failed."""
        self._instruments.rpc_failovers.add((self._chain, endpoint + 1))

    def faulted(self, endpoint: int) -> None:
        """An endpoint answered with a fault that is no answer of the chain."""
        self._instruments.rpc_faults.add((self._chain, endpoint + 1))

    def hedged(self) -> None:
        """A further endpoint was asked because the one before was slow."""
        self._instruments.rpc_hedges.add((self._chain,))

    def head(self, block: int) -> None:
        """A node told its latest block."""
        self._instruments.chain_block_height.set(block, (self._chain,))
        self._instruments.chain_heads.add((self._chain,))

    def endpoint_height(self, endpoint: int, block: int) -> None:
        """Height of one endpoint of several."""
        self._instruments.rpc_endpoint_block.set(block, (self._chain, endpoint + 1))
