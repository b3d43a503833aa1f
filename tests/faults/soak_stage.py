"""Where the soak plays: a chain, a store, an origin, two servers, and consumers who have bought.

One server keeps nonces in its own file, the other in a Redis, which is left out where none is installed.
"""

import random
import re
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY, SPARE_KEYS
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, chain_ready, launch_chain, launch_server
from tests.support.forked_children import ForkedChildren
from tests.support.metadata_store import StoringPublisher, running_metadata_store
from tests.support.origin import Origin, running_origin
from tests.support.processes import running_workers
from tests.support.redis_server import AOF, REDIS, RedisServer
from tests.support.resolver import ADDRESS, serve_command
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

SIZES = (1, 4_000, 300_000, 5_000_000, 40_000_000)
DYING = ("dies", "dies_chunked")
CONSUMERS = 6
WORKERS = 2


@dataclass
class Buyer:
    """One consumer: a wallet with an order, and what became of what it sent."""

    consumer: Consumer
    asset: Published
    order_tx: str
    nonce: int = 0
    served: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def url(self, file_index: int) -> str:
        """A download with a nonce that was never used."""
        self.nonce += 1
        return self.consumer.download_url(self.asset, self.order_tx, file_index=file_index, nonce=str(self.nonce))


@dataclass
class SharedStore:
    """The Redis of one server, and a buyer there who asks while it is away."""

    redis: RedisServer
    buyer: Buyer

    def process(self) -> psutil.Process:
        """The Redis that runs."""
        found = re.search(rb"process_id:(\d+)", self.redis.ask("INFO", "server"))
        assert found is not None
        return psutil.Process(int(found[1]))


@dataclass
class Stage:
    """Everything that runs, and the load upon it."""

    servers: list[DemoServer]
    buyers: list[Buyer]
    shared: SharedStore | None
    proxy: RpcProxy
    dice: random.Random
    chain: DemoChain
    publisher: StoringPublisher
    origin: Origin
    names_are_silent: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def everybody(self) -> list[Buyer]:
        """All who buy."""
        return [*self.buyers, *([self.shared.buyer] if self.shared else ())]


def workers(server: DemoServer) -> list[psutil.Process]:
    """Worker processes that run."""
    return running_workers(server.child.pid)


@contextmanager
def staged(seed: int, *, silent_names: bool = False) -> Iterator[Stage]:
    """Set it up; every buyer may download every file.

    `silent_names`: the servers' only name server answers nothing, where this system lets us do that.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provider-soak-")))
        children = stack.enter_context(ForkedChildren(str(folder)))
        chain: DemoChain = chain_ready(launch_chain(children))
        store = stack.enter_context(running_metadata_store())
        origin: Origin = stack.enter_context(running_origin())
        proxy = stack.enter_context(running_rpc_proxy(chain.url))
        settings = {
            "AQUARIUS_URL": store.url,
            "NETWORK_URL": proxy.url,
            "PROVIDER_WORKERS": str(WORKERS),
            "REQUEST_TIMEOUT": "3",
            "PROVIDER_RECEIPT_WAIT_SECONDS": "0",
            "PROVIDER_CACHE_STATE_SECONDS": "1",
            "LOG_LEVEL": "WARNING",
        }
        silent_names = silent_names and _silent_name_server(stack)
        command = serve_command(folder) if silent_names else ["-m", "provider", "serve"]
        servers = [launch_server(children, chain, folder, settings, command=command)]
        redis = stack.enter_context(_running_redis(folder)) if REDIS else None
        if redis is not None:
            shared = {"REDIS_CONNECTION": redis.url, "PROVIDER_REDIS_TIMEOUT_SECONDS": "1"}
            settings |= shared
            servers.append(launch_server(children, chain, folder, settings, name="server-shared", command=command))
        for server in servers:
            server.wait_ready()
        publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, servers[0].url)
        publisher.store = store
        files = [url_file(f"{origin.url}/bytes/{size}") for size in SIZES]
        asset = publisher.publish([*files, *(url_file(f"{origin.url}/{path}") for path in DYING)])

        def buyer(key: str, server: DemoServer) -> Buyer:
            consumer = Consumer(chain.wallet(key), server.url)
            publisher.mint(asset.datatokens[0], consumer.address)
            return Buyer(consumer, asset, consumer.order(asset))

        keys = (CONSUMER_KEY, *SPARE_KEYS[:CONSUMERS])
        buyers = [buyer(keys[number], servers[number % len(servers)]) for number in range(CONSUMERS)]
        asking = SharedStore(redis, buyer(keys[CONSUMERS], servers[-1])) if redis else None
        dice = random.Random(seed)
        yield Stage(servers, buyers, asking, proxy, dice, chain, publisher, origin, silent_names)


def _silent_name_server(stack: ExitStack) -> bool:
    """Could one be put where the servers look?"""
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    try:
        sock.bind((ADDRESS, 53))
    except OSError:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def _running_redis(folder: Path) -> Iterator[RedisServer]:
    redis = RedisServer(folder, *AOF).start()
    try:
        yield redis
    finally:
        redis.stop()
