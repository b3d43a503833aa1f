"""What a request holds is free at once when it ends, however it ends: no reference cycle waits for the collector.

A cycle of one stream is a hundred objects, and with the frames in it keeps that stream's sockets and buffers.
"""

import http.client
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.certificates import Authority
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, running_origin, wait_until
from tests.support.told_objects import ToldObjects

STREAMS = 200
# Of the whole run: what the server does meanwhile by itself may leave some. One a stream would be five times as much.
FEW_OBJECTS = 40
# From both origins each: spliced from the plain one, where the consumer has no TLS either, else copied.
PATHS = ("/bytes/64000000", "/dies", "/dies_chunked", "/flaky/2000000/500000", "/bytes/1000")
LARGE, DIES, DIES_CHUNKED, FLAKY, SMALL = range(len(PATHS))


@dataclass
class Shop:
    """A server whose collector is off, and a consumer with an order of all files, who counts his nonces himself."""

    server: DemoServer
    collector: ToldObjects
    consumer: Consumer
    asset: Published
    order_tx: str
    trust: ssl.SSLContext | None
    nonce: int = 0

    def connect(self) -> http.client.HTTPConnection:
        """A connection whose small buffer lets no large file be over before it is left."""
        parts = urlsplit(self.consumer.provider_url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        sock.settimeout(60)
        sock.connect((parts.hostname, parts.port))
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
        connection.sock = self.trust.wrap_socket(sock, server_hostname="127.0.0.1") if self.trust else sock
        return connection

    def ask(self, connection: http.client.HTTPConnection, file_index: int, **more: str) -> http.client.HTTPResponse:
        self.nonce += 1
        signed = {"nonce": str(self.nonce), **more}
        url = self.consumer.download_url(self.asset, self.order_tx, file_index=file_index, **signed)
        connection.request("GET", url.removeprefix(self.consumer.provider_url))
        return connection.getresponse()

    def leave(self, file_index: int, *, by_reset: bool) -> None:
        """Read a little of a large file and go."""
        with closing(self.connect()) as connection:
            reply = self.ask(connection, file_index)
            assert len(reply.read(1000)) == 1000
            if by_reset:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reply.close()

    def be_cut(self, file_index: int) -> None:
        """Read all that there is of a file whose origin dies."""
        with closing(self.connect()) as connection, pytest.raises((http.client.IncompleteRead, OSError)):
            self.ask(connection, file_index).read()

    def leftover(self) -> int:
        """Objects that only cycles keep, once every request has ended."""
        wait_until(lambda: not scrape(self.server.admin_url).total("provider_requests_in_progress"))
        return self.collector.ask(self.server.child)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("garbage-authority"))


@pytest.fixture(scope="module")
def origins(authority: Authority) -> Iterator[tuple[Origin, Origin]]:
    """A plain one and one with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = authority.issue("origin")
    context.load_cert_chain(files.certificate, files.key)
    with running_origin() as plain, running_origin(context) as secure:
        yield plain, secure


@pytest.fixture(scope="module")
def sold(sell: Sell, origins: tuple[Origin, Origin]) -> tuple[Published, str]:
    return sell(*(url_file(origin.url + path) for origin in origins for path in PATHS))


@pytest.fixture(scope="module", params=["http", "https"])
def shop(
    request: pytest.FixtureRequest,
    children: Children,
    chain: DemoChain,
    authority: Authority,
    sold: tuple[Published, str],
    metadata_store: MetadataStore,
    server_folder: Path,
) -> Shop:
    collector = ToldObjects("cycles", server_folder / f"collected-{request.param}")
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "SSL_CERT_FILE": str(authority.ca_path),
        "PROVIDER_RECEIPT_WAIT_SECONDS": "0",
    }
    trust = None
    if request.param == "https":
        files, trust = authority.issue("server"), authority.client_context()
        settings |= {
            "OCEAN_PROVIDER_URL": f"https://127.0.0.1:{free_ports(1)[0]}",
            "PROVIDER_TLS_CERT_FILE": files.certificate,
            "PROVIDER_TLS_KEY_FILE": files.key,
        }
    name = f"garbage-{request.param}"
    server = launch_server(children, chain, server_folder, settings, name=name, command=collector.command)
    server.wait_ready()
    consumer = Consumer(chain.wallet(CONSUMER_KEY), settings.get("OCEAN_PROVIDER_URL", server.url))
    opened = Shop(server, collector, consumer, *sold, trust)
    end_badly(opened, 2 * len(BAD_ENDS))
    end_well(opened, 4)
    # What is built at the first use of a part is not the matter here.
    opened.leftover()
    return opened


BAD_ENDS: tuple[Callable[[Shop, int], None], ...] = (
    lambda shop, of: shop.leave(of + LARGE, by_reset=True),
    lambda shop, of: shop.leave(of + LARGE, by_reset=False),
    lambda shop, of: shop.be_cut(of + DIES),
    lambda shop, of: shop.be_cut(of + DIES_CHUNKED),
)


def end_badly(shop: Shop, count: int) -> None:
    """So many streams, each as another of the ways tells, from the origins in turn."""
    ways = [(way, of) for way in BAD_ENDS for of in (0, len(PATHS))]
    for way, of in islice(cycle(ways), count):
        way(shop, of)


def end_well(shop: Shop, count: int) -> None:
    """So many whole bodies over one connection, some of them in several parts of an origin that dies."""
    with closing(shop.connect()) as connection:
        for file_index in islice(cycle((SMALL, FLAKY, len(PATHS) + SMALL, len(PATHS) + FLAKY)), count):
            reply = shop.ask(connection, file_index)
            assert reply.status == 200
            assert len(reply.read()) in (1000, 2_000_000)


def test_streams_that_break_leave_no_cycles(shop: Shop) -> None:
    end_badly(shop, STREAMS)
    assert shop.leftover() <= FEW_OBJECTS


def test_whole_downloads_leave_no_cycles(shop: Shop) -> None:
    end_well(shop, 40)
    assert shop.leftover() <= FEW_OBJECTS


def test_refusals_leave_no_cycles(shop: Shop) -> None:
    for _ in range(20):
        for wrong in ({"nonce": "1"}, {"transferTxId": "0x" + "11" * 32}, {"signature": "0x" + "11" * 65}):
            with closing(shop.connect()) as connection:
                reply = shop.ask(connection, SMALL, **wrong)
                assert 400 <= reply.status < 500
                reply.read()
    assert shop.leftover() <= FEW_OBJECTS
