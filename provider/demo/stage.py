"""The stage that the demo and the contract tests play on: the chain process with the Ocean contracts deployed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from web3 import Web3
from web3.types import RPCEndpoint

from provider.demo.child import Child, Children
from provider.demo.contracts import Contracts, deploy_contracts
from provider.demo.keys import DEPLOYER_KEY, PROVIDER_KEY
from provider.demo.wallet import Wallet, connect

READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DemoChain:
    """A running chain: its JSON-RPC URL, a web3 on it, the contracts, and the key that Provider is to use."""

    url: str
    w3: Web3 = field(repr=False)
    contracts: Contracts
    provider_key: str = field(repr=False, default=PROVIDER_KEY)

    def wallet(self, key: str) -> Wallet:
        """Wallet on this chain; the keys of `keys.FUNDED_KEYS` have ether."""
        return Wallet(self.w3, key)

    def rpc(self, method: str, *params: object) -> Any:
        """Result of a raw JSON-RPC call. Raises RuntimeError on an error object."""
        response = self.w3.provider.make_request(RPCEndpoint(method), list(params))
        if "error" in response:
            raise RuntimeError(str(response["error"]))
        return response["result"]

    @contextmanager
    def clock_shifted(self, seconds: int) -> Iterator[None]:
        """Blocks mined inside carry the present time plus `seconds`: negative makes orders that are old."""
        self.rpc("evm_increaseTime", seconds)
        try:
            yield
        finally:
            self.rpc("evm_increaseTime", -seconds)


def launch_chain(children: Children, *, port: int = 0) -> Child:
    """Start the chain process without waiting for it."""
    return children.start("chain", ["-m", "provider.demo.chain", "--watch-stdin", "--port", str(port)])


def chain_ready(child: Child) -> DemoChain:
    """Wait for a launched chain and deploy the contracts on it. Raises ChildFailed."""
    url = str(child.read_ready_line(READY_SECONDS)["url"])
    w3 = connect(url)
    return DemoChain(url, w3, deploy_contracts(Wallet(w3, DEPLOYER_KEY)))
