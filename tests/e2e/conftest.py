"""The server as a process, clients over real sockets, a real chain behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.demo.child import Children
from provider.demo.consumer import Consumer
from provider.demo.keys import CONSUMER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.demo.publisher import Publisher
from provider.demo.stage import DemoChain, DemoServer, launch_server
from tests.contract.conftest import chain, children  # noqa: F401
from tests.support.origin import Origin, running_origin


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """The origin of all files."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="session")
def server(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> DemoServer:  # noqa: F811
    """One server for the tests that need no settings of their own."""
    started = launch_server(children, chain, Path(tmp_path_factory.mktemp("server")))
    started.wait_ready()
    return started


@pytest.fixture(scope="session")
def publisher(chain: DemoChain, server: DemoServer) -> Publisher:  # noqa: F811
    """Publishes through the server."""
    return Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)


@pytest.fixture(scope="session")
def consumer(chain: DemoChain, server: DemoServer) -> Consumer:  # noqa: F811
    """Buys and downloads."""
    return Consumer(chain.wallet(CONSUMER_KEY), server.url)


@pytest.fixture(scope="session")
def stranger(chain: DemoChain, server: DemoServer) -> Consumer:  # noqa: F811
    """Never bought anything."""
    return Consumer(chain.wallet(STRANGER_KEY), server.url)
