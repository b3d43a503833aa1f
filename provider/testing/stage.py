"""The stage for the demo and the tests: a chain with contracts, an origin, and a server process.

Takes a `Children` that owns the processes and returns the addresses of everything. Nothing is published here.
"""

import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from web3 import Web3
from web3.types import RPCEndpoint

from provider.testing.chain.contracts import Contracts, deploy_contracts
from provider.testing.chain.keys import DEPLOYER_KEY, PROVIDER_KEY
from provider.testing.chain.wallet import Wallet, connect
from provider.testing.child import Child, Children, wait_until
from provider.testing.http_client import request
from provider.testing.ports import free_ports

READY_SECONDS = 30.0
# Arguments of python that start a server.
SERVE = ("-m", "provider", "serve")


@dataclass(frozen=True, slots=True)
class DemoChain:
    """A running chain: its JSON-RPC URL, a web3 on it, the contracts, and the Provider's key."""

    url: str
    w3: Web3 = field(repr=False)
    contracts: Contracts
    provider_key: str = field(repr=False, default=PROVIDER_KEY)

    def wallet(self, key: str) -> Wallet:
        """Return a wallet on this chain. The keys of `keys.FUNDED_KEYS` have ether."""
        return Wallet(self.w3, key)

    def rpc(self, method: str, *params: object) -> Any:
        """Return the result of a raw JSON-RPC call. Raises RuntimeError for an error object."""
        response = self.w3.provider.make_request(RPCEndpoint(method), list(params))
        if "error" in response:
            raise RuntimeError(str(response["error"]))
        return response["result"]

    @contextmanager
    def clock_shifted(self, seconds: int) -> Iterator[None]:
        """Shift the clock of blocks mined inside by `seconds`; a negative value makes old orders."""
        self.rpc("evm_increaseTime", seconds)
        try:
            yield
        finally:
            self.rpc("evm_increaseTime", -seconds)


@dataclass(frozen=True, slots=True)
class DemoServer:
    """A running `provider serve`: base URLs without trailing slash, and its process."""

    url: str
    admin_url: str
    child: Child = field(repr=False)

    def wait_ready(self) -> None:
        """Wait until the server reports that it is ready. Raises ChildFailed with its stderr otherwise."""
        wait_until(lambda: _answers(f"{self.admin_url}/readyz"), self.child, timeout_seconds=READY_SECONDS)


def launch_chain(children: Children, *, port: int = 0) -> Child:
    """Start the chain process without waiting for it."""
    return children.start("chain", ["-m", "provider.testing.chain.chain", "--watch-stdin", "--port", str(port)])


def chain_ready(child: Child) -> DemoChain:
    """Wait for a launched chain and deploy the contracts on it. Raises ChildFailed."""
    url = str(child.read_ready_line(READY_SECONDS)["url"])
    w3 = connect(url)
    return DemoChain(url, w3, deploy_contracts(Wallet(w3, DEPLOYER_KEY)))


def launch_origin(children: Children, *, port: int = 0, bucket_key: Path | None = None) -> Child:
    """Start the origin process without waiting for it; its ready line holds `url`."""
    arguments = ["-m", "provider.testing.origin", "--watch-stdin", "--port", str(port)]
    return children.start("origin", arguments if bucket_key is None else [*arguments, "--bucket-key", str(bucket_key)])


def launch_server(
    children: Children,
    chain: DemoChain,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    name: str = "server",
    command: Sequence[str] = SERVE,
) -> DemoServer:
    """Start `provider serve` on free ports against the chain, its files in `folder`, without waiting for it.

    `command`: arguments of python; another command must end in the server.
    `environ`: adds to or overrides the settings. There is no AQUARIUS_URL: the chain itself is the metadata store.
    """
    address_file = folder / f"{name}-address.json"
    address_file.write_text(chain.contracts.address_file(), encoding="utf-8")
    url, admin_url = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    settings = {
        "NETWORK_URL": chain.url,
        "PROVIDER_PRIVATE_KEY": chain.provider_key,
        "ADDRESS_FILE": str(address_file),
        "STORAGE_PATH": str(folder / f"{name}.db"),
        "OCEAN_PROVIDER_URL": url,
        "PROVIDER_ADMIN_URL": admin_url,
        "ALLOW_NON_PUBLIC_IP": "true",
    }
    child = children.start(name, command, {**settings, **(environ or {})})
    return DemoServer(url, admin_url, child)


def _answers(url: str) -> bool:
    try:
        return request("GET", url).status == 200
    except (OSError, http.client.HTTPException):
        return False
