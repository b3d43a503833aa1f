"""Fixtures for the files of `conf/`: the tool that reads each, and a server behind the fronts."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.origin import Origin, running_origin

LARGE_BYTES = 256 << 20
FILES = (f"/bytes/{LARGE_BYTES}", "/chunked/40", "/dies", "/dies_chunked", "/stalls", "/data.csv")
LARGE, CHUNKED, DIES, DIES_CHUNKED, STALLS, SMALL = range(len(FILES))


@dataclass(frozen=True)
class Stage:
    """A server, its origin, and somebody with an order of all files."""

    server: DemoServer
    origin: Origin
    chain: DemoChain
    asset: Published
    order_tx: str

    def consumer(self, url: str) -> Consumer:
        """The one who ordered, going to `url`."""
        return Consumer(self.chain.wallet(SPARE_KEYS[9]), url)


@pytest.fixture(scope="session")
def stage(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for all fronts."""
    folder = Path(tmp_path_factory.mktemp("deploy"))
    with running_origin() as origin:
        server = launch_server(children, chain, folder, {"PROVIDER_IDLE_TIMEOUT_SECONDS": "5"}, name="deployed")
        server.wait_ready()
        publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
        asset = publisher.publish([url_file(origin.url + path) for path in FILES])
        consumer = Consumer(chain.wallet(SPARE_KEYS[9]), server.url)
        publisher.mint(asset.datatokens[0], consumer.address)
        yield Stage(server, origin, chain, asset, consumer.order(asset))
        server.child.stop()


def tool(name: str) -> str:
    """Path of an installed program, first of all one from pip; where there is none the test is skipped."""
    places = (str(Path(sys.executable).parent), None, "/usr/sbin:/usr/local/sbin:/sbin")
    found = next((path for place in places if (path := shutil.which(name, path=place))), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
