"""Streams under bad conditions: slow and leaving consumers, dying and stalling origins. Memory stays flat."""

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.readings import Readings, scrape
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.origin import Origin, pattern_sha256, running_origin, wait_until

LARGE_BYTES = 256 << 20
SLOW_CONSUMERS = 100
SLOW_BYTES_PER_SECOND = 64 * 1024
SLOW_SECONDS = 6
FILES = (f"/bytes/{LARGE_BYTES}", "/chunked/40", "/dies", "/dies_chunked", "/stalls")
LARGE, CHUNKED, DIES, DIES_CHUNKED, STALLS = range(len(FILES))


@pytest.fixture(scope="module")
def own_origin() -> Iterator[Origin]:
    """An origin whose counts belong to this file."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="module")
def streamer(
    children: Children, chain: DemoChain, own_origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DemoServer, Consumer, Published, str]:
    """A server with a short idle limit, and a consumer with an order of all files."""
    folder = Path(tmp_path_factory.mktemp("streams"))
    server = launch_server(children, chain, folder, {"PROVIDER_IDLE_TIMEOUT_SECONDS": "5"}, name="streams")
    server.wait_ready()
    publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    asset = publisher.publish([url_file(own_origin.url + path) for path in FILES])
    consumer = Consumer(chain.wallet(SPARE_KEYS[6]), server.url)
    publisher.mint(asset.datatokens[0], consumer.address)
    return server, consumer, asset, consumer.order(asset)


def open_download(url: str, *, receive_buffer_bytes: int = 64 * 1024) -> socket.socket:
    """Send the request and read nothing yet; a small receive buffer makes the server feel a slow reader."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.connect((str(parts.hostname), parts.port or 80))
    connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return connection


def read_slowly(connections: list[socket.socket]) -> None:
    """Each consumer reads what it reads in a second."""
    for connection in connections:
        left = SLOW_BYTES_PER_SECOND
        while left > 0:
            got = len(connection.recv(left))
            assert got, "a slow consumer was cut"
            left -= got


def rss_bytes(server: DemoServer) -> int:
    return int(psutil.Process(server.child.pid).memory_info().rss)


def test_a_large_file_arrives_unchanged(streamer: tuple[DemoServer, Consumer, Published, str]) -> None:
    _, consumer, asset, order_tx = streamer
    got = consumer.download(asset, order_tx, file_index=LARGE)
    assert (got.status, got.complete, got.size_bytes, got.sha256) == (
        200,
        True,
        LARGE_BYTES,
        pattern_sha256(LARGE_BYTES),
    )


def test_chunked_origin_arrives_whole(streamer: tuple[DemoServer, Consumer, Published, str]) -> None:
    _, consumer, asset, order_tx = streamer
    got = consumer.download(asset, order_tx, file_index=CHUNKED)
    assert (got.status, got.complete, got.size_bytes) == (200, True, 40 * 65536)


def test_memory_is_flat_while_a_hundred_slow_consumers_read_a_large_file(
    streamer: tuple[DemoServer, Consumer, Published, str], own_origin: Origin
) -> None:
    """At 64 KB/s nobody ends; what the server holds must not grow with what the origin could deliver."""
    server, consumer, asset, order_tx = streamer
    sent_before = own_origin.sent_bytes
    connections: list[socket.socket] = []
    for number in range(SLOW_CONSUMERS):
        nonce = consumer.next_nonce()
        connection = open_download(consumer.download_url(asset, order_tx, file_index=LARGE, nonce=nonce))
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
        connection.settimeout(60)
        connections.append(connection)
        if number % 10 == 9:
            # Who reads nothing for the idle limit is cut, and on a busy machine a hundred are not opened in that time.
            read_slowly(connections)
    readings = []
    for second in range(SLOW_SECONDS):
        began = time.monotonic()
        read_slowly(connections)
        readings.append(rss_bytes(server))
        if second + 1 < SLOW_SECONDS:
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))  # the rate of the consumers, not a wait for a state
    for connection in connections:
        connection.close()
    wait_until(lambda: own_origin.active == 0)
    assert max(readings) - readings[0] < 16 << 20, readings
    # Kernel buffers of both connections and at most 256 KiB of ours lie between origin and consumer.
    assert own_origin.sent_bytes - sent_before < SLOW_CONSUMERS * (24 << 20)


def test_upstream_is_closed_when_the_consumer_leaves_mid_body(
    streamer: tuple[DemoServer, Consumer, Published, str], own_origin: Origin
) -> None:
    server, consumer, asset, order_tx = streamer
    before = scrape(server.admin_url)
    connection = open_download(consumer.download_url(asset, order_tx, file_index=LARGE))
    assert connection.recv(1)
    wait_until(lambda: own_origin.active == 1)
    connection.close()
    wait_until(lambda: own_origin.active == 0)
    assert_consumer_gone(server, before)


def test_upstream_is_closed_when_the_consumer_leaves_a_silent_origin(
    streamer: tuple[DemoServer, Consumer, Published, str], own_origin: Origin
) -> None:
    server, consumer, asset, order_tx = streamer
    before = scrape(server.admin_url)
    connection = open_download(consumer.download_url(asset, order_tx, file_index=STALLS))
    assert connection.recv(1)
    wait_until(lambda: own_origin.active == 1)
    connection.close()
    wait_until(lambda: own_origin.active == 0)
    assert_consumer_gone(server, before)


def assert_consumer_gone(server: DemoServer, before: Readings) -> None:
    """The only stream since then ended because its consumer had left: no limit of time was needed."""
    wait_until(lambda: scrape(server.admin_url).since(before).total("provider_streams_total") == 1)
    assert scrape(server.admin_url).since(before).total("provider_streams_total", outcome="consumer_gone") == 1


@pytest.mark.parametrize("file_index", [DIES, STALLS], ids=["origin dies", "origin stalls"])
def test_short_body_with_length_is_seen_as_short(
    streamer: tuple[DemoServer, Consumer, Published, str], file_index: int
) -> None:
    _, consumer, asset, order_tx = streamer
    got = consumer.download(asset, order_tx, file_index=file_index)
    assert got.status == 200
    assert not got.complete
    assert got.size_bytes < 1_000_000


def test_short_chunked_body_lacks_its_last_chunk(streamer: tuple[DemoServer, Consumer, Published, str]) -> None:
    _, consumer, asset, order_tx = streamer
    connection = open_download(consumer.download_url(asset, order_tx, file_index=DIES_CHUNKED))
    raw = b""
    connection.settimeout(60)
    try:
        while piece := connection.recv(65536):
            raw += piece
    except ConnectionResetError:
        pass
    connection.close()
    assert b"chunked" in raw.lower()
    assert not raw.endswith(b"0\r\n\r\n")
    again = consumer.download(asset, order_tx, file_index=DIES_CHUNKED)
    assert not again.complete


def test_connection_is_kept_after_a_complete_stream(
    streamer: tuple[DemoServer, Consumer, Published, str],
) -> None:
    server, consumer, asset, order_tx = streamer
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80)
    connection.connect()
    local = connection.sock.getsockname()
    for _ in range(3):
        url = urlsplit(consumer.download_url(asset, order_tx, file_index=CHUNKED))
        connection.request("GET", f"{url.path}?{url.query}")
        assert len(connection.getresponse().read()) == 40 * 65536
        assert connection.sock is not None
        assert connection.sock.getsockname() == local
    connection.close()


def test_streams_are_counted_by_outcome(streamer: tuple[DemoServer, Consumer, Published, str]) -> None:
    server, consumer, asset, order_tx = streamer
    name = 'provider_streams_total{endpoint="download",outcome="upstream_truncated",path="splice"}'
    before = metric(server, name)
    consumer.download(asset, order_tx, file_index=DIES)
    wait_until(lambda: metric(server, name) == before + 1)
    wait_until(lambda: metric(server, "provider_streams_in_progress") == 0)


def test_caches_tell_their_use_and_size(streamer: tuple[DemoServer, Consumer, Published, str]) -> None:
    server, consumer, asset, order_tx = streamer
    for _ in range(2):
        consumer.download(asset, order_tx, file_index=CHUNKED)
    for cache in ("ddo", "nft_state", "datatoken", "receipt", "files"):
        assert metric(server, f'provider_cache_entries{{cache="{cache}"}}') >= 1, cache
        assert metric(server, f'provider_cache_requests_total{{cache="{cache}",result="hit"}}') >= 1, cache


def metric(server: DemoServer, name: str) -> float:
    """Value of one sample of the admin listener."""
    parts = urlsplit(server.admin_url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)
