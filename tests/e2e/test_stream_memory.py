"""What an open stream holds: thousands of slow consumers may stay for hours."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, running_origin, wait_until
from tests.support.told_objects import ToldObjects

STREAMS = 100
# Measured: 14.0 to 15.6 KB. With both heads, the query and timers of their own they held 30.
MOST_BYTES_EACH = 17_000
# Of what a worker does beside them: moments of the dashboard, caches, tables that have grown.
MOST_BYTES_LEFT = 200_000
# As a browser sends, in about that length.
FIELDS = "".join(f"X-Sent-By-Browsers-{number}: {'x' * 60}\r\n" for number in range(15))


@pytest.fixture(scope="module")
def own_origin() -> Iterator[Origin]:
    """An origin whose counts belong to this file."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="module")
def traced(server_folder: Path) -> ToldObjects:
    return ToldObjects("held", server_folder / "traced")


@pytest.fixture(scope="module")
def traced_server(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path, traced: ToldObjects
) -> DemoServer:
    settings = {"AQUARIUS_URL": metadata_store.url, "PROVIDER_MAX_STREAMS_PER_CONSUMER": "0"}
    server = launch_server(children, chain, server_folder, settings, name="traced", command=traced.command)
    server.wait_ready()
    return server


def begin(url: str) -> socket.socket:
    """A stream whose consumer reads little and then nothing."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
    sock.settimeout(60)
    sock.connect((str(parts.hostname), parts.port or 80))
    sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: test\r\n{FIELDS}\r\n".encode())
    assert sock.recv(15).startswith(b"HTTP/1.1 200")
    return sock


def test_an_open_stream_holds_little_and_leaves_nothing(
    traced_server: DemoServer, traced: ToldObjects, chain: DemoChain, sell: Sell, own_origin: Origin
) -> None:
    asset, order_tx = sell(url_file(f"{own_origin.url}/bytes/{64 << 20}"))
    consumer = Consumer(chain.wallet(CONSUMER_KEY), traced_server.url)

    def open_some(stack: ExitStack, count: int) -> None:
        for _ in range(count):
            stack.enter_context(begin(_url(consumer, asset, order_tx)))

    # What is built at the first use of a part, and tables that grow, are not the matter here.
    with ExitStack() as warming:
        open_some(warming, STREAMS)
    wait_until(lambda: own_origin.active == 0)
    before = traced.ask(traced_server.child)
    with ExitStack() as streams:
        open_some(streams, STREAMS)
        most = before + STREAMS * MOST_BYTES_EACH + MOST_BYTES_LEFT
        # A moment of the dashboard may be in the making.
        wait_until(lambda: traced.ask(traced_server.child) < most)
    # The books are written a second later.
    wait_until(lambda: traced.ask(traced_server.child) - before < MOST_BYTES_LEFT)


def _url(consumer: Consumer, asset: Published, order_tx: str) -> str:
    return consumer.download_url(asset, order_tx, nonce=consumer.next_nonce())
