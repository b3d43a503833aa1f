"""The server as a process, clients over real sockets, a real chain behind it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY, SPARE_KEYS, STRANGER_KEY
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.compute import FREE, PRICED, ComputeClient
from tests.support.logs import tracebacks
from tests.support.metadata_store import MetadataStore, StoringPublisher, running_metadata_store
from tests.support.operator import OperatorService, environment, running_operator
from tests.support.origin import Origin, running_origin

LaunchServer = Callable[..., DemoServer]
Sell = Callable[..., tuple[Published, str]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """The origin of all files."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="session")
def metadata_store() -> Iterator[MetadataStore]:
    """Where all servers get their DDOs from; the chain index has tests of its own."""
    with running_metadata_store() as running:
        yield running


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers keep their files."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def server(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    server_folder: Path,
) -> DemoServer:
    """One server for the tests that need no settings of their own; it waits shortly for what does not come."""
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "REQUEST_TIMEOUT": "2",
        "PROVIDER_RECEIPT_WAIT_SECONDS": "0.6",
    }
    started = launch_server(children, chain, server_folder, settings)
    started.wait_ready()
    return started


@pytest.fixture
def launch(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[LaunchServer]:
    """More servers, each with the settings given by keyword; they end with the test."""
    with launching(children, chain, metadata_store, server_folder) as start:
        yield start


@pytest.fixture
def launch_executed(
    executed_children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[LaunchServer]:
    """As `launch`, for tests of what takes longer in a process that was not forked from one that was ready."""
    with launching(executed_children, chain, metadata_store, server_folder) as start:
        yield start


@contextmanager
def launching(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, folder: Path
) -> Iterator[LaunchServer]:
    """Start servers, which end with the context."""
    started: list[DemoServer] = []

    def start(*, wait: bool = True, **settings: str) -> DemoServer:
        environ = {"AQUARIUS_URL": metadata_store.url, "PROVIDER_INDEX_POLL_SECONDS": "0.1", **settings}
        own = launch_server(children, chain, folder, environ, name=f"server-{next(_numbers)}")
        started.append(own)
        if wait:
            own.wait_ready()
        return own

    yield start
    for own in started:
        own.child.ask_to_stop()
    for own in started:
        own.child.stop()


@pytest.fixture(scope="session")
def publisher(chain: DemoChain, server: DemoServer, metadata_store: MetadataStore) -> StoringPublisher:
    """Publishes through the server; what it publishes is in the metadata store."""
    publishing = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    publishing.store = metadata_store
    return publishing


@pytest.fixture(scope="session")
def consumer(chain: DemoChain, server: DemoServer) -> Consumer:
    """Buys and downloads."""
    return Consumer(chain.wallet(CONSUMER_KEY), server.url)


@pytest.fixture(scope="session")
def stranger(chain: DemoChain, server: DemoServer) -> Consumer:
    """Never bought anything."""
    return Consumer(chain.wallet(STRANGER_KEY), server.url)


@pytest.fixture(scope="session")
def bought(sell: Sell, origin: Origin) -> tuple[Published, str]:
    """An asset of one small and one larger file, and the consumer's order for it; read-only for tests."""
    return sell(url_file(f"{origin.url}/data.csv"), url_file(f"{origin.url}/bytes/300000"))


@pytest.fixture(scope="module")
def log_holds_no_secret(server: DemoServer, origin: Origin) -> Iterator[None]:
    """Downloads with `planted` in what is secret leave nothing of it in the log, and no traceback."""
    yield
    log = server.child.stderr_tail(1 << 26)
    port = urlsplit(origin.url).port
    for secret in (f":{port}", "planted", "signature=", "data.csv"):
        assert secret not in log
    assert tracebacks(log) == []
    assert "Task was destroyed" not in log


@pytest.fixture(scope="session")
def sell(publisher: StoringPublisher, consumer: Consumer) -> Sell:
    """Publish one service with these file objects and let the consumer order it: `sell(*files, **publish)`."""

    def publish_and_order(*files: dict[str, object], **more: Any) -> tuple[Published, str]:
        asset = publisher.publish(list(files), **more)
        publisher.mint(asset.datatokens[0], consumer.address)
        return asset, consumer.order(asset)

    return publish_and_order


@pytest.fixture(scope="session")
def operator(chain: DemoChain) -> Iterator[OperatorService]:
    """The operator service behind `c2d`."""
    with running_operator({chain.contracts.chain_id: [environment(FREE), environment(PRICED, price="0.5")]}) as running:
        yield running


@pytest.fixture(scope="session")
def c2d(
    children: Children,
    chain: DemoChain,
    operator: OperatorService,
    metadata_store: MetadataStore,
    publisher: StoringPublisher,
    server_folder: Path,
) -> ComputeClient:
    """A server with compute, which keeps no environments and documents, and its consumer."""
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "OPERATOR_SERVICE_URL": operator.url,
        "PROVIDER_RECEIPT_WAIT_SECONDS": "0.3",
        "REQUEST_TIMEOUT": "2",
        "PROVIDER_CACHE_ENVIRONMENTS_SECONDS": "0",
        "PROVIDER_CACHE_DDO_SECONDS": "0",
    }
    compute_server = launch_server(children, chain, server_folder, settings, name="compute")
    compute_server.wait_ready()
    buyer = Consumer(chain.wallet(SPARE_KEYS[3]), compute_server.url)
    return ComputeClient(chain, compute_server, operator, publisher, buyer)
