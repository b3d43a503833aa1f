"""The slice cache of a server with two workers: who shares it, who does not, and how an operator looks at it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY
from provider.testing.child import bare_environ
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_usage import wait_for_records
from tests.support.links import ask_for_links
from tests.support.origin import Origin, pattern, pattern_sha256, wait_until

SIZE = 3_000_000
SLICE = 262_144


@pytest.fixture
def cached(launch: LaunchServer, tmp_path: Path) -> DemoServer:
    return launch(
        PROVIDER_CACHE_DIR=str(tmp_path / "cache"),
        PROVIDER_BOOKS_PATH=str(tmp_path / "books"),
        PROVIDER_CACHE_SLICE_BYTES=str(SLICE),
        PROVIDER_CACHE_FROM_REQUEST="1",
        PROVIDER_WORKERS="2",
    )


def bodies(origin: Origin, path: str) -> int:
    """Requests for more than the first byte."""
    return sum(seen.headers.get("range") != "bytes=0-0" for seen in origin.requests(path))


def files_of(folder: Path) -> list[Path]:
    return list(folder.glob("cache/slices-*/[0-9a-f]*-*[0-9]"))


def cache_command(chain: DemoChain, folder: Path, *arguments: str) -> str:
    environ = {
        "NETWORK_URL": chain.url,
        "PROVIDER_PRIVATE_KEY": PROVIDER_KEY,
        "PROVIDER_CACHE_DIR": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "provider", "cache", *arguments],
        env=bare_environ(str(folder))
        | environ
        | {name: value for name, value in os.environ.items() if name.startswith("COV")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_is_fetched_once_for_all_workers_and_kept_apart_by_asset(
    cached: DemoServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    buyer = Consumer(chain.wallet(CONSUMER_KEY), cached.url)
    path = f"/flaky/{SIZE}/{SIZE}"
    first, second = sell(url_file(origin.url + path)), sell(url_file(origin.url + path))
    for _ in range(6):
        got = buyer.download(*first)
        assert (got.sha256, got.complete) == (pattern_sha256(SIZE), True)
    wait_until(lambda: len(files_of(tmp_path)) == -(-SIZE // SLICE))
    assert bodies(origin, path) == 1
    assert buyer.download(*second).sha256 == pattern_sha256(SIZE)
    assert bodies(origin, path) == 2
    listed = cache_command(chain, tmp_path, "list")
    assert first[0].did in listed
    assert second[0].did in listed
    cache_command(chain, tmp_path, "purge", first[0].did)
    assert first[0].did not in cache_command(chain, tmp_path, "list")
    assert buyer.download(*first).sha256 == pattern_sha256(SIZE)
    # Workers write their numbers twice a second.
    wait_until(lambda: scrape(cached.admin_url).total("provider_slice_origin_bytes_total") == 3 * SIZE)
    rows = [row for row in wait_for_records(tmp_path / "books", 8) if row["did"] == first[0].did]
    # The first one of all, and the one after the purge, came from the origin.
    assert sorted(row["cached_bytes"] for row in rows) == [0, 0, *([SIZE] * 5)]


def test_a_link_is_served_from_slices_in_any_order(
    cached: DemoServer, chain: DemoChain, sell: Sell, origin: Origin
) -> None:
    buyer = Consumer(chain.wallet(CONSUMER_KEY), cached.url)
    path = f"/flaky/{SIZE}/{SIZE + 1}"
    url = ask_for_links(buyer, *sell(url_file(origin.url + path))).json()["files"][0]["url"]
    whole = pattern(SIZE)
    parts = {}
    for first in reversed(range(0, SIZE, 700_000)):
        reply = request("GET", url, headers={"Range": f"bytes={first}-{first + 699_999}"})
        assert reply.status == 206
        parts[first] = reply.body
    assert hashlib.sha256(b"".join(parts[first] for first in sorted(parts))).hexdigest() == pattern_sha256(SIZE)
    before = len(origin.requests(path))
    assert request("GET", url).body == whole
    assert request("GET", url, headers={"Range": "bytes=-5"}).body == whole[-5:]
    assert len(origin.requests(path)) <= before + 1


def test_a_directory_that_is_no_directory_stops_nothing(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    own = launch(PROVIDER_CACHE_DIR=str(tmp_path / "file"), PROVIDER_CACHE_FROM_REQUEST="1")
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    sold = sell(url_file(f"{origin.url}/flaky/{SIZE}/{SIZE + 2}"))
    assert buyer.download(*sold).sha256 == pattern_sha256(SIZE)
    assert scrape(own.admin_url).total("provider_slice_cache_up") == 0
    assert "slice cache paused: ENOTDIR" in own.child.stderr_tail(1 << 20)
