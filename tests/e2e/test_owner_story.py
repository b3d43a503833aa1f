"""One story, told alike by `provider usage`, the metrics and the dashboard: three datasets, two of them ill."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from provider.demo.chain.keys import CONSUMER_KEY, SPARE_KEYS, STRANGER_KEY
from provider.demo.market.consumer import Consumer
from provider.demo.market.publisher import Published, url_file
from provider.demo.ports import free_ports
from provider.demo.scenes.readings import scrape
from provider.demo.stage import DemoChain
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_pages import in_browser
from tests.support.browser import running_browser
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import CSV, Origin, wait_until
from tests.support.witness import witness

ROUNDS = 13
"""Downloads of each dataset by each buyer: 195 in all, and five refused."""
CELLS = (
    "[...document.querySelectorAll('#datasets tbody:not(.none) tr')]"
    ".map((row) => [...row.children].map((cell) => cell.textContent))"
)


def usage(file: Path, by: str) -> dict[str, dict[str, Any]]:
    """What `provider usage` prints, by the first column."""
    command = [sys.executable, "-m", "provider", "usage", str(file), "--json", "--by", by]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {row[by]: row for row in map(json.loads, done.stdout.splitlines())}


@in_browser
def test_owner_sees_what_buyers_met(
    launch: LaunchServer,
    chain: DemoChain,
    publisher: StoringPublisher,
    consumer: Consumer,
    origin: Origin,
    tmp_path: Path,
) -> None:
    books = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(books), PROVIDER_WORKERS="2")
    (nowhere,) = free_ports(1)
    good, dead, expired = (
        publisher.publish([url_file(url)])
        for url in (
            f"{origin.url}/data.csv",
            f"http://127.0.0.1:{nowhere}/data.csv",
            # As S3 answers to a key that is no longer valid.
            f"{origin.url}/status/403",
        )
    )
    buyers = [Consumer(chain.wallet(key), server.url) for key in (CONSUMER_KEY, *SPARE_KEYS[:4])]
    orders: dict[tuple[str, str], str] = {}
    for asset in (good, dead, expired):
        for buyer in buyers:
            publisher.mint(asset.datatokens[0], consumer.address)
            orders[asset.did, buyer.address] = consumer.order(asset, consumer=buyer.address)

    def take(buyer: Consumer, asset: Published) -> int:
        return buyer.download(asset, orders[asset.did, buyer.address]).status

    def shop(buyer: Consumer) -> list[int]:
        return [take(buyer, asset) for _ in range(ROUNDS) for asset in (good, dead, expired)]

    with ThreadPoolExecutor(5) as pool:
        statuses = [status for all_of_one in pool.map(shop, buyers) for status in all_of_one]
    stranger = Consumer(chain.wallet(STRANGER_KEY), server.url)
    refused = [stranger.download(good, orders[good.did, buyers[0].address]).status for _ in range(5)]
    each = ROUNDS * len(buyers)
    assert (statuses.count(200), statuses.count(400), refused) == (each, 2 * each, [400] * 5)

    # The books
    wait_until(lambda: books.is_file() and sum(row["uses"] for row in usage(books, "outcome").values()) == 3 * each + 5)
    assert {
        did: (row["uses"], row["complete"], row["consumer_faults"], row["origin_faults"], row["bytes"], row["buyers"])
        for did, row in usage(books, "dataset").items()
    } == {
        good.did: (each + 5, each, 5, 0, each * len(CSV), 5),
        dead.did: (each, 0, 0, each, 0, 5),
        expired.did: (each, 0, 0, each, 0, 5),
    }
    assert {outcome: row["uses"] for outcome, row in usage(books, "outcome").items()} == {
        "complete": each,
        "upstream_unreachable": each,
        "upstream_refused": each,
        "order_not_consumer": 5,
    }
    assert {who: row["bytes"] for who, row in usage(books, "consumer").items()} == {
        buyer.address: ROUNDS * len(CSV) for buyer in buyers
    }

    # The metrics; those of the other worker come half a second later.
    wait_until(lambda: scrape(server.admin_url).total("provider_errors_total", fault="origin") == 2 * each)
    metrics = scrape(server.admin_url)
    assert metrics.total("provider_errors_total", fault="consumer") == 5
    assert metrics.total("provider_errors_total", fault="ours") == 0
    assert metrics.total("provider_asset_failing", did=dead.did) >= 3
    assert metrics.total("provider_asset_failing", did=expired.did) >= 3
    assert metrics.total("provider_asset_failing", did=good.did) == 0

    # The dashboard
    with running_browser(tmp_path) as open_tab:
        tab = open_tab()
        tab.emulate()
        tab.open(f"{server.admin_url}/dashboard/")
        tab.wait(f"{CELLS}.length === 3 && {CELLS}.every((row) => row[3] === '{each}')")
        shown = {row[0]: row for row in tab.run(CELLS)}
        assert shown[good.did][2] == "works"
        for did, code in ((dead.did, "upstream_unreachable"), (expired.did, "upstream_refused")):
            assert shown[did][2].startswith(f"failed {each} times")
            assert shown[did][8] == code
            assert "Publisher: " in shown[did][9]
        assert f"{2 * each} at origins, 0 here" in tab.text()
        assert list(witness.secrets_in(tab.text().encode())) == []
        (tmp_path / "dashboard.png").write_bytes(tab.screenshot(whole=True))
        assert tab.trouble == []
        tab.close()
    server.child.stop()
    assert list(witness.secrets_in(books.read_bytes())) == []
