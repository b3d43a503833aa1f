"""One story, told alike by `provider usage`, the metrics, Prometheus with its alert and the dashboard.

Three datasets, two of them ill.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from provider.testing.chain.keys import CONSUMER_KEY, SPARE_KEYS, STRANGER_KEY
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_pages import in_browser
from tests.e2e.test_usage import written
from tests.observability.live_prometheus import PROMETHEUS, Prometheus, running_prometheus
from tests.support.browser import running_browser
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import CSV, Origin, wait_until
from tests.support.witness import witness

ROUNDS = 4
"""Downloads of each dataset by each buyer: 60 in all, and five refused."""
CELLS = (
    "[...document.querySelectorAll('#datasets tbody:not(.none) tr')]"
    ".map((row) => [...row.children].map((cell) => cell.textContent))"
)


def printed(file: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "provider", "usage", str(file), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def usage(file: Path, by: str) -> dict[str, dict[str, Any]]:
    """What `provider usage` prints, by the first column."""
    return {row[by]: row for row in map(json.loads, printed(file, "--json", "--by", by).splitlines())}


def alerting(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Dataset and file of each alert about a file."""
    return {
        (alert["labels"]["did"], alert["labels"]["file"])
        for alert in prometheus.api("alerts")["alerts"]
        if alert["labels"]["alertname"] == "ProviderAssetFailing"
    }


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
    wait_until(lambda: len(written(books)) == 3 * each + 5)
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

    # Prometheus. The alert fires after five minutes, which the tests of the rules cover.
    if PROMETHEUS is not None:
        with running_prometheus(tmp_path, [server.admin_url]) as prometheus:
            wait_until(lambda: alerting(prometheus) == {(dead.did, "0"), (expired.did, "0")})
            errors = 'sum(provider_errors_total{fault="origin"})'
            wait_until(lambda: 2 * each in prometheus.samples(errors))

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
            assert shown[did][10] == code
            assert "Publisher: " in shown[did][11]
        assert f"{2 * each} failed at origins, 0 failed here" in tab.text()
        assert list(witness.secrets_in(tab.text().encode())) == []
        (tmp_path / "dashboard.png").write_bytes(tab.screenshot(whole=True))
        assert tab.trouble == []
        tab.close()
    server.child.stop()
    assert list(witness.secrets_in(books.read_bytes())) == []
    for form in ("--csv", "--json"):
        assert list(witness.secrets_in(printed(books, "--records", form))) == []
