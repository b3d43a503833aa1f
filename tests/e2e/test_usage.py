"""The owner's books: what a server records of downloads, links, results and refusals, and what it never does."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from provider.testing.chain.keys import CONSUMER_KEY, SPARE_KEYS, STRANGER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.links import ask_for_links, links
from tests.support.operator import Result
from tests.support.origin import CSV, Origin, pattern, wait_until

SIZE = 300_000


def usage(file: Path, *arguments: str) -> list[dict[str, Any]]:
    """What `provider usage --json` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "provider", "usage", str(file), "--json", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(file: Path) -> list[dict[str, Any]]:
    """All records, as soon as there is a file."""
    return usage(file, "--records") if file.is_file() and file.stat().st_size else []


def written(file: Path) -> list[sqlite3.Row]:
    """The same records without the command, for whoever waits for them."""
    if not (file.is_file() and file.stat().st_size):
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        is_there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchone()
        return connection.execute("SELECT * FROM usage").fetchall() if is_there else []


def wait_for_records(file: Path, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(written(file)) >= count)
    return records(file)


def test_downloads_links_and_refusals_are_recorded(
    launch: LaunchServer, chain: DemoChain, bought: tuple[Published, str], tmp_path: Path
) -> None:
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file))
    buyer, stranger = (Consumer(chain.wallet(key), server.url) for key in (CONSUMER_KEY, STRANGER_KEY))
    asset, tx = bought
    assert buyer.download(asset, tx).size_bytes == len(CSV)
    assert buyer.download(asset, tx, file_index=1, headers={"Range": "bytes=0-99"}).size_bytes == 100
    assert stranger.download(asset, tx).status == 400
    assert ask_for_links(stranger, asset, tx).status == 400
    small, url = (link["url"] for link in links(buyer, asset, tx))
    for start in range(0, 5000, 1000):
        part = request("GET", url, headers={"Range": f"bytes={start}-{start + 999}"})
        assert part.body == pattern(SIZE)[start : start + 1000]
    assert request("HEAD", url).status == 200
    assert request("GET", small, headers={"If-None-Match": '"v1"'}).status == 304
    found = wait_for_records(file, 5)
    wait_until(lambda: sum(row["requests"] for row in written(file)) == 9)
    told = {
        (row["endpoint"], row["consumer"], row["file"], row["outcome"], row["fault"]): (
            row["requests"],
            row["bytes"],
            row["part"],
        )
        for row in records(file)
    }
    assert told == {
        ("download", buyer.address, 0, "complete", ""): (1, len(CSV), 0),
        ("download", buyer.address, 1, "complete", ""): (1, 100, 1),
        ("download", stranger.address, 0, "order_not_consumer", "consumer"): (1, 0, 0),
        ("links", stranger.address, None, "order_not_consumer", "consumer"): (1, 0, 0),
        ("link", buyer.address, 1, "complete", ""): (5, 5000, 1),
    }
    assert {(row["did"], row["service"], row["order_tx"]) for row in found} == {(asset.did, asset.service(0)["id"], tx)}
    (dataset,) = usage(file)
    assert {key: dataset[key] for key in ("dataset", "uses", "complete", "consumer_faults", "buyers")} == {
        "dataset": asset.did,
        "uses": 5,
        "complete": 3,
        "consumer_faults": 2,
        "buyers": 1,
    }
    assert [(row["consumer"], row["bytes"]) for row in usage(file, "--by", "consumer")] == [
        (buyer.address, len(CSV) + 5100)
    ]


def test_a_file_that_is_gone_is_its_origins_fault(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file))
    asset, tx = sell(url_file(f"{origin.url}/status/404"))
    assert Consumer(chain.wallet(CONSUMER_KEY), server.url).download(asset, tx).status == 400
    (row,) = wait_for_records(file, 1)
    assert (row["did"], row["outcome"], row["fault"]) == (asset.did, "upstream_refused", "origin")
    assert usage(file)[0]["origin_faults"] == 1
    assert scrape(server.admin_url).total("provider_errors_total", fault="origin", code="upstream_refused") == 1


def dashboard_of(admin_url: str) -> dict[str, Any]:
    """The first picture that the dashboard gets."""
    with requests.get(f"{admin_url}/dashboard/events", stream=True, timeout=60) as reply:
        lines = reply.iter_lines(decode_unicode=True)
        for line in lines:
            if line == "event: picture":
                picture: dict[str, Any] = json.loads(next(lines).removeprefix("data: "))
                return picture
    raise AssertionError("no picture came")


def test_metrics_and_dashboard_name_the_dataset_that_is_ill(
    launch: LaunchServer, chain: DemoChain, sell: Sell, bought: tuple[Published, str], origin: Origin, tmp_path: Path
) -> None:
    server = launch(PROVIDER_BOOKS_PATH=str(tmp_path / "books"))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), server.url)
    asset, tx = sell(url_file(f"{origin.url}/status/404"))
    for _ in range(3):
        assert buyer.download(asset, tx).status == 400
    assert buyer.download(*bought).complete
    failing = scrape(server.admin_url)
    assert failing.total("provider_asset_failing", did=asset.did, file="0") == 3
    assert failing.total("provider_asset_failing", did=bought[0].did) == 0
    assert failing.total("provider_errors_total", fault="origin") == 3
    ill, well = dashboard_of(server.admin_url)["datasets"]
    assert (ill["did"], ill["is_failing"], ill["code"], ill["origin_failures"]) == (
        asset.did,
        True,
        "upstream_refused",
        3,
    )
    assert ill["remedy"].startswith("Publisher: check that the file's URL")
    assert (well["did"], well["is_failing"], well["uses"]) == (bought[0].did, False, 1)


def test_results_of_compute_jobs_are_recorded(c2d: ComputeClient, origin: Origin, server_folder: Path) -> None:
    main = c2d.dataset(f"{origin.url}/data.csv")
    (tx,) = c2d.buy([main], None, environment=FREE)
    job = str(c2d.start(c2d.item(main, tx), {"meta": RAW}, environment=FREE).json()[0]["jobId"])
    c2d.operator.finish(job, Result("out.csv", "output", CSV))
    assert c2d.result(job, 0).size_bytes == len(CSV)
    assert c2d.result(job, 7).status >= 400

    books = server_folder / "compute.db.books"
    # Other tests use this server too.
    wait_until(lambda: sum(row["job"] == job for row in written(books)) >= 2)
    found = [row for row in records(books) if row["job"] == job]
    ends = {(row["endpoint"], row["job"], row["outcome"], row["bytes"], row["consumer"]) for row in found}
    assert ("computeResult", job, "complete", len(CSV), c2d.consumer.address) in ends
    assert {row["fault"] for row in found} == {"", "consumer"}


def test_a_server_that_is_killed_loses_no_record_that_a_second_is_old(
    launch: LaunchServer, chain: DemoChain, bought: tuple[Published, str], tmp_path: Path
) -> None:
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), server.url)
    url = urlsplit(links(buyer, *bought, fileIndex=1)[0]["url"])
    for _ in range(3):
        assert buyer.download(*bought).complete
        assert request("GET", f"{server.url}{url.path}", headers={"Range": "bytes=0-9"}).status == 206
    metrics = "provider_books_records_total"
    wait_until(lambda: scrape(server.admin_url).total(metrics, result="written") == 6)
    os.kill(server.child.pid, signal.SIGKILL)
    assert sorted(row["requests"] for row in records(file)) == [1, 1, 1, 3]


def test_a_stopped_server_loses_no_record_at_all(
    launch: LaunchServer, chain: DemoChain, bought: tuple[Published, str], tmp_path: Path
) -> None:
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file), PROVIDER_WORKERS="2")
    buyers = [Consumer(chain.wallet(CONSUMER_KEY), server.url) for _ in range(4)]
    for buyer in buyers:
        assert buyer.download(*bought).complete
    server.child.stop()
    assert len(records(file)) == 4


def test_nothing_is_recorded_when_the_books_are_off(
    launch: LaunchServer, chain: DemoChain, bought: tuple[Published, str], tmp_path: Path
) -> None:
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file), PROVIDER_BOOKS="false")
    assert Consumer(chain.wallet(CONSUMER_KEY), server.url).download(*bought).complete
    server.child.stop()
    assert not file.exists()


def test_nothing_secret_is_recorded(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    """URLs, headers, user data, signatures, link tokens and addresses of clients do not belong in the books."""
    file = tmp_path / "books"
    server = launch(PROVIDER_BOOKS_PATH=str(file), TRUSTED_PROXIES="127.0.0.1")
    buyer = Consumer(chain.wallet(SPARE_KEYS[0]), server.url)
    asset, tx = sell(url_file(f"{origin.url}/data.csv", headers={"X-Key": "planted-header"}))
    owner = Consumer(chain.wallet(CONSUMER_KEY), server.url)
    client = {"X-Forwarded-For": "203.0.113.77", "User-Agent": "planted-agent", "Authorization": "planted-token"}
    planted = owner.download_url(asset, tx, userdata='{"planted": "userdata"}')
    assert request("GET", planted, headers=client).status in (200, 400)
    assert request("GET", buyer.download_url(asset, tx), headers=client).status == 400
    url = links(owner, asset, tx)[0]["url"]
    assert request("GET", url, headers=client).status == 200
    wait_for_records(file, 2)
    server.child.stop()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + json.dumps(records(file)).encode()
    port = urlsplit(origin.url).port
    for secret in ("planted", "203.0.113.77", f":{port}", "data.csv", "userdata", "signature", url.split("/")[-2]):
        assert secret.encode() not in written, secret


@pytest.mark.parametrize("form", ["--csv", "--json", ""])
def test_the_command_prints_tables_csv_and_json(server_folder: Path, c2d: ComputeClient, form: str) -> None:
    c2d.result("none", 0)
    file = server_folder / "compute.db.books"
    wait_for_records(file, 1)
    command = [sys.executable, "-m", "provider", "usage", "--by", "outcome", *([form] if form else [])]
    environ = {**os.environ, "STORAGE_PATH": str(server_folder / "compute.db")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    head, *rows = done.stdout.splitlines()
    assert rows or form == "--json"
    faults = ["consumer_faults", "origin_faults", "our_faults"]
    columns = ["outcome", "uses", "complete", *faults, "requests", "bytes", "cached_bytes", "seconds"]
    told = list(json.loads(head)) if form == "--json" else head.split("," if form else None)
    assert told == columns


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "provider", "usage", *arguments],
            env={**os.environ, "STORAGE_PATH": str(tmp_path / "none")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr

    assert run() == (1, f"provider: {tmp_path}/none.books: no such file; nothing was recorded there\n")
    assert run("--since", "yesterday") == (
        1,
        "provider: --since: give a number of days such as 7d, or a date such as 2026-11-30\n",
    )
    assert run("--by", "color")[0] == 2
