"""The server asks for sold files itself: a dead origin is known before a buyer meets it, and no use is counted."""

import time
from pathlib import Path

from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.readings import scrape
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_usage import records, wait_for_records
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, wait_until

PERIOD_SECONDS = 1


def test_a_dead_origin_is_known_without_a_buyer(
    launch: LaunchServer,
    consumer: Consumer,
    sell: Sell,
    origin: Origin,
    metadata_store: MetadataStore,
    tmp_path: Path,
) -> None:
    books = tmp_path / "books"
    good, dead = sell(url_file(f"{origin.url}/data.csv?probed=1")), sell(url_file(f"{origin.url}/status/403"))
    posted = sell({**url_file(f"{origin.url}/data.csv"), "method": "POST"})
    # Its origin refuses whoever names no key.
    private = sell(url_file(f"{origin.url}/status/401"))
    service = metadata_store.documents[private[0].did]["services"][0]
    service["consumerParameters"] = [{"name": "key", "type": "text", "required": True}]
    server = launch(PROVIDER_BOOKS_PATH=str(books))
    buyer = Consumer(consumer.wallet, server.url)
    for asset, tx in (good, dead, posted):
        buyer.download(asset, tx)
    buyer.download(*private, userdata='{"key": "mine"}')
    assert buyer.download(*good, file_index=123456).status == 400
    known = wait_for_records(books, 5)
    assert sorted(str(row["file"]) for row in known) == ["0", "0", "0", "0", "None"]
    assert scrape(server.admin_url).total("provider_probes_total") == 0
    server.child.stop()

    begin, began = len(origin.seen), time.monotonic()
    again = launch(PROVIDER_BOOKS_PATH=str(books), PROVIDER_PROBE_SECONDS=str(PERIOD_SECONDS), PROVIDER_WORKERS="2")
    wait_until(lambda: scrape(again.admin_url).total("provider_asset_failing", did=dead[0].did) >= 3)
    wait_until(lambda: scrape(again.admin_url).total("provider_probes_total", result="ok") >= 2)
    metrics = scrape(again.admin_url)
    assert metrics.total("provider_probes_total", result="skipped") >= 2
    assert metrics.total("provider_asset_failing", did=private[0].did) == 0
    assert metrics.total("provider_asset_failing", did=good[0].did) == 0
    asked = sum("probed" in seen.query for seen in origin.seen[begin:])
    # One worker asks, once in each period.
    assert 2 <= asked <= (time.monotonic() - began) / PERIOD_SECONDS + 2
    assert "POST" not in [seen.method for seen in origin.seen[begin:]]
    assert records(books) == known
