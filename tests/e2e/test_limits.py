"""Limits that an operator sets: streams of one consumer, and their speed."""

import json
import time
from pathlib import Path

import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, launch_server
from tests.e2e.test_streams import open_download
from tests.support.origin import Origin, wait_until

LARGE_BYTES = 64 << 20
PACED_BYTES = 4 << 20
RATE = 2 << 20
LARGE, PACED = 0, 1


@pytest.fixture(scope="module")
def limited(
    children: Children, chain: DemoChain, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Consumer, Published, str]:
    """A server with limits, and a consumer with an order."""
    limits = {
        "PROVIDER_MAX_STREAMS_PER_CONSUMER": "2",
        "PROVIDER_MAX_BYTES_PER_SECOND_PER_CONSUMER": str(RATE),
    }
    server = launch_server(children, chain, Path(tmp_path_factory.mktemp("limits")), limits, name="limits")
    server.wait_ready()
    publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    asset = publisher.publish([url_file(f"{origin.url}/bytes/{size}") for size in (LARGE_BYTES, PACED_BYTES)])
    consumer = Consumer(chain.wallet(SPARE_KEYS[7]), server.url)
    publisher.mint(asset.datatokens[0], consumer.address)
    return consumer, asset, consumer.order(asset)


def test_a_third_stream_of_a_consumer_is_refused_until_one_has_ended(
    limited: tuple[Consumer, Published, str],
) -> None:
    consumer, asset, order_tx = limited
    running = []
    for _ in range(2):
        connection = open_download(consumer.download_url(asset, order_tx, file_index=LARGE))
        # The nonce is spent once the answer begins; only then is the next one known.
        assert connection.recv(12) == b"HTTP/1.1 200"
        running.append(connection)
    refused = request("GET", consumer.download_url(asset, order_tx, file_index=PACED))
    assert refused.status == 429
    assert refused.headers["retry-after"] == "5"
    assert "Too many downloads" in json.loads(refused.body)["error"]
    for connection in running:
        connection.close()
    wait_until(lambda: request("GET", consumer.download_url(asset, order_tx, file_index=PACED)).status == 200)


def test_a_stream_is_no_faster_than_its_consumers_rate(limited: tuple[Consumer, Published, str]) -> None:
    """A lower bound of time, so a slow machine cannot make it fail."""
    consumer, asset, order_tx = limited
    began = time.monotonic()
    got = consumer.download(asset, order_tx, file_index=PACED)
    assert got.complete
    # The kernel lets a first burst pass unpaced.
    assert time.monotonic() - began > 0.5 * PACED_BYTES / RATE
