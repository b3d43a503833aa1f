"""The machine's clock jumps while the server runs (libfaketime; the monotonic clock goes on as it does in reality)."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell, launching
from tests.support.measured import MeasuredChildren
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, pattern_sha256

LIBRARIES = glob("/usr/lib/*/faketime/libfaketime.so.1")
DAY_SECONDS = 86_400


@dataclass
class Clock:
    """A server, and the file that its clock looks at."""

    server: DemoServer
    path: Path

    def jump(self, offset: str) -> None:
        """Set the server's clock to the real time plus `offset`, as faketime writes it."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(offset)
        fresh.replace(self.path)


@pytest.fixture(scope="module")
def clock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def faked_children(clock_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredChildren]:
    """All have the same clock."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed")
    clock_file.write_text("+0")
    environ = {
        "SSL_CERT_FILE": os.devnull,
        "LD_PRELOAD": LIBRARIES[0],
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with MeasuredChildren(str(tmp_path_factory.mktemp("faked")), environ) as started:
        yield started


@pytest.fixture
def launch_unwatched(
    faked_children: MeasuredChildren, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[LaunchServer]:
    with launching(faked_children, chain, metadata_store, server_folder) as start:
        yield start


@pytest.fixture
def clock(launch: LaunchServer, clock_file: Path) -> Clock:
    """A server whose clock is right as long as it does not jump."""
    clock_file.write_text("+0")
    return Clock(launch(), clock_file)


@pytest.fixture
def buyer(chain: DemoChain, clock: Clock) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), clock.server.url)


@pytest.mark.parametrize("offset", ["+400d", "-400d"])
def test_a_jump_stops_no_stream_and_no_later_request(
    clock: Clock, buyer: Consumer, sell: Sell, origin: Origin, offset: str
) -> None:
    size = 40_000_000
    sold = sell(url_file(f"{origin.url}/bytes/{size}"))
    received = 0

    def jump(count: int) -> None:
        nonlocal received
        if received < 1_000_000 <= received + count:
            clock.jump(offset)
        received += count

    for _ in range(2):
        done = buyer.download(*sold, progress=jump)
        assert (done.status, done.sha256) == (200, pattern_sha256(size))
    assert clock.path.read_text() == offset
    assert request("GET", f"{clock.server.admin_url}/readyz").status == 200


def test_orders_expire_by_the_clock_and_not_before(clock: Clock, buyer: Consumer, sell: Sell, origin: Origin) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"), timeout_seconds=2 * DAY_SECONDS)
    assert buyer.download(*sold).status == 200
    clock.jump("+3d")
    late = buyer.download(*sold)
    assert late.status == 400
    assert b"The order has expired" in late.error_body
    clock.jump("+0")
    assert buyer.download(*sold).status == 200


def test_a_clock_that_goes_back_accepts_no_nonce_again(
    clock: Clock, buyer: Consumer, sell: Sell, origin: Origin
) -> None:
    sold: tuple[Published, str] = sell(url_file(f"{origin.url}/data.csv"))
    url = buyer.download_url(*sold)
    assert request("GET", url).status == 200
    clock.jump("-30d")
    assert request("GET", url).status == 400


def test_tokens_end_by_the_clock(clock: Clock, buyer: Consumer, sell: Sell, origin: Origin) -> None:
    asset, order_tx = sell(url_file(f"{origin.url}/data.csv"))
    nonce = str(time.time_ns())
    created = request(
        "GET",
        with_query(
            f"{clock.server.url}/api/services/createAuthToken",
            {
                "address": buyer.address,
                "expiration": int(time.time()) + 3600,
                "nonce": nonce,
                "signature": buyer.sign(buyer.address, nonce),
            },
        ),
    )
    token = json.loads(created.body)["token"]

    def ask() -> int:
        parameters = buyer.download_parameters(asset, order_tx, nonce=str(time.time_ns()))
        del parameters["signature"]
        url = with_query(f"{clock.server.url}/api/services/download", parameters)
        return request("GET", url, headers={"AuthToken": token}).status

    assert ask() == 200
    clock.jump("+2h")
    assert ask() == 400
