"""A disk that is full: what must be remembered is refused, everything else goes on, and nothing has to be restarted."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.origin import Origin, wait_until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


def test_full_disk_refuses_signed_requests_only_and_heals_by_itself(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, small_disk: Path
) -> None:
    own = launch(STORAGE_PATH=str(small_disk / "provider.db"))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    sold = sell(url_file(f"{origin.url}/data.csv"))
    assert buyer.download(*sold).status == 200
    nonce = int(buyer.next_nonce())
    filler = small_disk / "filler"
    fill(filler)
    refused = []
    # The write-ahead log has room of its own at first.
    for step in range(400):
        status = buyer.download(*sold, nonce=str(nonce + step)).status
        assert status in (200, 503)
        refused.append(nonce + step) if status == 503 else None
        if len(refused) == 3:
            break
    assert len(refused) == 3
    reply = request("GET", buyer.download_url(*sold, nonce=str(refused[-1] + 1)))
    assert (reply.status, int(reply.headers["retry-after"]) >= 1) == (503, True)
    assert request("GET", f"{own.url}/").status == 200
    assert request("GET", f"{own.url}/api/services/nonce?userAddress={buyer.address}").status == 200
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 503)
    filler.unlink()
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 200)
    done = [buyer.download(*sold, nonce=str(refused[-1] + 2)).status for _ in range(2)]
    assert done == [200, 400]


def test_a_full_disk_stops_the_books_and_not_the_bytes(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, small_disk: Path
) -> None:
    """What could not be written waits, and is written when there is room again."""
    books = small_disk / "books"
    own = launch(PROVIDER_BOOKS_PATH=str(books))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    sold = sell(url_file(f"{origin.url}/data.csv"))
    filler = small_disk / "filler"
    fill(filler)

    def up() -> float:
        return scrape(own.admin_url).total("provider_books_up")

    taken = 0
    while up():
        taken += 1
        assert buyer.download(*sold).complete
        assert taken < 400
    assert buyer.download(*sold).complete
    assert request("GET", f"{own.admin_url}/readyz").status == 200
    assert "the books cannot be written" in own.child.stderr_tail()
    filler.unlink()
    wait_until(lambda: up() == 1)
    metrics = scrape(own.admin_url)
    downloads = metrics.total("provider_requests_total", endpoint="download")
    assert metrics.total("provider_books_records_total", result="written") == downloads > taken
    assert metrics.total("provider_books_records_total", result="lost") == 0
