"""Quotas: what one order, one consumer in a day and one dataset in a month may take."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, STRANGER_KEY
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.links import links
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import Origin, wait_until
from tests.support.redis_server import RedisServer

Bought = tuple[Published, str]
SIZE = 300_000
LARGE = 400_000_000
PER_ORDER = {"PROVIDER_QUOTA_DOWNLOADS_PER_ORDER": "2"}


@pytest.fixture
def sold(sell: Sell, origin: Origin) -> Bought:
    """An order of its own for each test."""
    return sell(url_file(f"{origin.url}/bytes/{SIZE}"))


def buyer(chain: DemoChain, server: DemoServer, key: str = CONSUMER_KEY) -> Consumer:
    return Consumer(chain.wallet(key), server.url)


def signed_url(consumer: Consumer, asset: Published, tx: str, **more: object) -> str:
    return consumer.download_url(asset, tx, **more)


def get(url: str, **headers: str) -> Reply:
    return request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})


def at(server: DemoServer, url: str) -> str:
    """The same request, for another server."""
    parts = urlsplit(url)
    return f"{server.url}{parts.path}{'?' if parts.query else ''}{parts.query}"


def counted(file: Path) -> list[tuple[int, int, int, int]]:
    """Millionths of downloads and bytes, sent and held, of each count."""
    with closing(sqlite3.connect(f"file:{file}.quotas?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT parts, bytes, held_parts, held_bytes FROM counts ORDER BY name").fetchall()


def settled(file: Path) -> list[tuple[int, int]]:
    """What was sent, once nothing is held any more."""
    wait_until(lambda: all(row[2:] == (0, 0) for row in counted(file)))
    return [row[:2] for row in counted(file)]


def test_a_refusal_says_until_when_and_spends_no_nonce(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    bought = sell(url_file(f"{origin.url}/bytes/{SIZE}"), timeout_seconds=3600)
    file = tmp_path / "storage.db"
    server = launch(STORAGE_PATH=str(file), **PER_ORDER)
    consumer = buyer(chain, server)
    for _ in range(2):
        assert get(signed_url(consumer, *bought)).status == 200
    settled(file)
    asked = len(origin.requests(f"/bytes/{SIZE}"))
    url = signed_url(consumer, *bought)
    refused = get(url)
    assert refused.status == 429
    assert 3000 < int(refused.headers["retry-after"]) <= 3600
    ends = datetime.fromisoformat(refused.error_text().rstrip(".").rpartition(" ")[2])
    assert timedelta(minutes=50) < ends - datetime.now(UTC) <= timedelta(hours=1)
    assert refused.error_text().startswith("The quota of this order is used up. Order again to go on.")
    assert len(origin.requests(f"/bytes/{SIZE}")) == asked
    assert scrape(server.admin_url).total("provider_quota_refusals_total", quota="order", unit="downloads") == 1
    server.child.stop()
    without = launch(STORAGE_PATH=str(file))
    assert get(at(without, url)).status == 200
    assert get(at(without, url)).status == 400


def test_an_order_that_ends_beyond_all_dates_has_its_quota_like_one_without_an_end(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin
) -> None:
    """Publishers choose timeouts, and a number too large must not fail the write that others share."""
    server = launch(PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="1")
    for timeout_seconds in (10**12, 2**63 - 1):
        bought = sell(url_file(f"{origin.url}/bytes/{SIZE}"), timeout_seconds=timeout_seconds)
        consumer = buyer(chain, server)
        (linked,) = links(consumer, *bought)
        assert get(linked["url"]).status == 200
        refused = get(signed_url(consumer, *bought))
        assert (refused.status, "retry-after" in refused.headers) == (429, False)
        assert refused.error_text().endswith("Order again to go on.")


def test_a_new_order_has_a_new_quota_and_so_has_another_consumer(
    launch: LaunchServer, chain: DemoChain, sold: Bought, consumer: Consumer, publisher: StoringPublisher
) -> None:
    server = launch(PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="1")
    own = buyer(chain, server)
    asset, tx = sold
    assert get(signed_url(own, asset, tx)).status == 200
    assert get(signed_url(own, asset, tx)).status == 429
    publisher.mint(asset.datatokens[0], consumer.address)
    assert get(signed_url(own, asset, consumer.order(asset))).status == 200


def test_an_order_that_was_reused_has_no_new_quota(
    launch: LaunchServer, chain: DemoChain, sold: Bought, consumer: Consumer, stranger: Consumer
) -> None:
    """Anybody may reuse an order, and where no fee is due it costs nothing but gas."""
    server = launch(PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="2")
    own = buyer(chain, server)
    asset, tx = sold
    transactions = [tx, consumer.reuse_order(asset, tx), stranger.reuse_order(asset, tx), tx]
    assert [get(signed_url(own, asset, each)).status for each in transactions] == [200, 200, 429, 429]


def test_payer_and_consumer_share_the_quota_of_their_order(
    launch: LaunchServer, chain: DemoChain, sold: Bought, consumer: Consumer, publisher: StoringPublisher
) -> None:
    server = launch(PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="2")
    payer, other = buyer(chain, server), buyer(chain, server, STRANGER_KEY)
    asset, _ = sold
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=other.address)
    for one, expected in ((payer, 200), (other, 200), (payer, 429), (other, 429)):
        assert get(signed_url(one, asset, tx)).status == expected


def test_a_stranger_cannot_use_up_the_quota_of_another(
    launch: LaunchServer, chain: DemoChain, sold: Bought, tmp_path: Path
) -> None:
    file = tmp_path / "storage.db"
    server = launch(
        STORAGE_PATH=str(file),
        PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="1",
        PROVIDER_QUOTA_DOWNLOADS_PER_CONSUMER_DAY="1",
        PROVIDER_QUOTA_DOWNLOADS_PER_ASSET_MONTH="1",
    )
    own, stranger = buyer(chain, server), buyer(chain, server, STRANGER_KEY)
    # Not his order; an order that he made up; the buyer's name with his own signature; a used request sent again.
    assert get(signed_url(stranger, *sold)).status == 400
    assert get(signed_url(stranger, sold[0], "0x" + "5" * 64)).status in {400, 404}
    forged = stranger.download_parameters(*sold, consumerAddress=own.address)
    assert get(with_query(f"{server.url}/api/services/download", forged)).status == 400
    assert counted(file) == []
    url = signed_url(own, *sold)
    assert [get(url).status for _ in range(3)] == [200, 429, 429]
    assert [row[0] for row in settled(file)] == [1_000_000] * 3


def test_parallel_downloads_over_two_workers_get_what_is_left_and_no_more(
    launch: LaunchServer, chain: DemoChain, sold: Bought, tmp_path: Path
) -> None:
    file = tmp_path / "storage.db"
    server = launch(
        STORAGE_PATH=str(file), PROVIDER_WORKERS="2", PROVIDER_QUOTA_BYTES_PER_ORDER=str(5 * SIZE + SIZE // 2)
    )
    consumer = buyer(chain, server)
    urls = [signed_url(consumer, *sold, nonce=str(time.time_ns())) for _ in range(24)]
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(get, urls))
    assert {reply.status for reply in replies} == {200, 429}
    assert sum(len(reply.body) for reply in replies if reply.status == 200) == 5 * SIZE
    assert settled(file) == [(5_000_000, 5 * SIZE)]


def test_ranges_over_a_link_count_as_bytes_and_their_share_and_repeated_ones_again(
    launch: LaunchServer, chain: DemoChain, sold: Bought, tmp_path: Path
) -> None:
    file = tmp_path / "storage.db"
    server = launch(STORAGE_PATH=str(file), **PER_ORDER)
    (linked,) = links(buyer(chain, server), *sold)
    assert request("HEAD", linked["url"]).status == 200
    tenth = SIZE // 10
    once = [f"bytes={start}-{start + tenth - 1}" for start in range(0, SIZE, tenth)]
    same = ["bytes=0-29999"] * 10
    for wanted in (once, same):
        with ThreadPoolExecutor(5) as pool:
            assert {reply.status for reply in pool.map(lambda part: get(linked["url"], Range=part), wanted)} == {206}
    assert settled(file) == [(2_000_000, 2 * SIZE)]
    refused = get(linked["url"], Range="bytes=0-0")
    assert (refused.status, "quota of this order" in refused.error_text()) == (429, True)
    # The same order by a signed request.
    assert get(signed_url(buyer(chain, server), *sold)).status == 429
    # It still says what it is.
    assert request("HEAD", linked["url"]).status == 200


def test_a_download_that_was_cut_counts_what_was_sent_and_can_be_finished(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    bought = sell(url_file(f"{origin.url}/bytes/{LARGE}"))
    file = tmp_path / "storage.db"
    server = launch(STORAGE_PATH=str(file), PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="1")
    consumer = buyer(chain, server)
    with stalled(signed_url(consumer, *bought)) as connection:
        wait_until(lambda: counted(file)[0][2] > 0)
        # Another one has to wait for this one, and not for another order.
        held = get(signed_url(consumer, *bought))
        assert (held.status, int(held.headers["retry-after"])) == (429, 10)
        connection.close()
    ((parts, sent),) = settled(file)
    assert 0 < sent < LARGE
    assert 0 < parts < 1_000_000
    assert get(signed_url(consumer, *bought), Range=f"bytes={LARGE - 5}-").status == 206


class stalled:  # noqa: N801 - used as a function
    """A download whose consumer reads the head, and then nothing."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def __enter__(self) -> socket.socket:
        self._socket = socket.create_connection((self._url.hostname or "", self._url.port or 0), timeout=30)
        line = f"GET {self._url.path}?{self._url.query} HTTP/1.1\r\nHost: test\r\n\r\n"
        self._socket.sendall(line.encode())
        assert self._socket.recv(64).startswith(b"HTTP/1.1 200")
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_a_killed_worker_loses_no_count_and_what_it_held_is_given_back(
    launch: LaunchServer, chain: DemoChain, sold: Bought, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    large = sell(url_file(f"{origin.url}/bytes/{LARGE}"))
    file = tmp_path / "storage.db"
    settings = {
        "STORAGE_PATH": str(file),
        "PROVIDER_WORKERS": "2",
        "PROVIDER_QUOTA_DOWNLOADS_PER_ORDER": "1",
        "PROVIDER_QUOTA_DOWNLOADS_PER_CONSUMER_DAY": "3",
    }
    server = launch(**settings)
    consumer = buyer(chain, server)
    assert get(signed_url(consumer, *sold)).status == 200
    settled(file)
    with stalled(signed_url(consumer, *large)):
        wait_until(lambda: sum(row[2] for row in counted(file)) > 0)
        for worker in workers_of(server.child.pid):
            os.kill(worker, signal.SIGKILL)
        assert sorted(row[0] for row in counted(file))[-1] >= 1_000_000
    # Nobody is refused what was taken, and nobody gets it twice.
    assert get_again(lambda: signed_url(consumer, *sold)).status == 429
    # The lease of the dead runs out; here it is shortened.
    assert get_again(lambda: signed_url(consumer, *large), Range="bytes=0-9").status == 429
    with closing(sqlite3.connect(f"{file}.quotas", timeout=30)) as connection, connection:
        connection.execute("UPDATE holds SET until = ?", (time.time() - 1,))
    assert get_again(lambda: signed_url(consumer, *large), Range="bytes=0-9").status == 206
    server.child.stop()
    assert get(signed_url(buyer(chain, launch(**settings)), *sold)).status == 429


def workers_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def get_again(url: object, **headers: str) -> Reply:
    """A reply of a worker that may still be starting."""
    assert callable(url)
    found: list[Reply] = []

    def is_answered() -> bool:
        try:
            found.append(get(url(), **headers))
        except OSError:
            return False
        return found[-1].status != 503

    wait_until(is_answered)
    return found[-1]


def test_quotas_of_a_day_and_a_month_say_when_they_begin_anew(
    launch: LaunchServer, chain: DemoChain, sold: Bought
) -> None:
    of_day = launch(PROVIDER_QUOTA_BYTES_PER_CONSUMER_DAY=str(SIZE))
    of_month = launch(PROVIDER_QUOTA_DOWNLOADS_PER_ASSET_MONTH="1")
    for server in (of_day, of_month):
        assert get(signed_url(buyer(chain, server), *sold)).status == 200
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = (day + timedelta(days=1), (day.replace(day=1) + timedelta(days=32)).replace(day=1))
    for server, end in zip((of_day, of_month), ends, strict=True):
        refused = get(signed_url(buyer(chain, server), *sold))
        assert refused.status == 429
        assert refused.error_text().endswith(f"It begins anew at {end:%Y-%m-%dT%H:%M:%SZ}.")
        assert abs(int(refused.headers["retry-after"]) - (end - now).total_seconds()) < 60


def test_less_than_the_file_is_told_apart_from_nothing(launch: LaunchServer, chain: DemoChain, sold: Bought) -> None:
    server = launch(PROVIDER_QUOTA_BYTES_PER_ORDER=str(SIZE - 1))
    refused = get(signed_url(buyer(chain, server), *sold))
    assert (refused.status, "retry-after" in refused.headers) == (429, False)
    assert "Less is left of the quota of this order than was asked for" in refused.error_text()
    part = get(signed_url(buyer(chain, server), *sold), Range=f"bytes=0-{SIZE - 2}")
    assert (part.status, len(part.body)) == (206, SIZE - 1)


def test_a_file_that_is_larger_than_what_is_left_spends_no_nonce_once_its_length_is_known(
    launch: LaunchServer, chain: DemoChain, sold: Bought, tmp_path: Path
) -> None:
    file = tmp_path / "storage.db"
    server = launch(STORAGE_PATH=str(file), PROVIDER_QUOTA_BYTES_PER_ORDER=str(SIZE + SIZE // 2))
    consumer = buyer(chain, server)
    assert get(signed_url(consumer, *sold)).status == 200
    settled(file)
    url = signed_url(consumer, *sold)
    assert get(url).status == 429
    assert get(url, Range="bytes=0-99").status == 206


def test_a_body_of_unknown_length_is_cut_at_the_quota(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    bought = sell(url_file(f"{origin.url}/chunked/3000"))
    file = tmp_path / "storage.db"
    server = launch(
        STORAGE_PATH=str(file),
        PROVIDER_QUOTA_BYTES_PER_ORDER="1000000",
        PROVIDER_MAX_BYTES_PER_SECOND_PER_STREAM="2000000",
    )
    downloaded = buyer(chain, server).download(*bought)
    assert not downloaded.complete
    assert 1_000_000 <= settled(file)[0][1] < 20_000_000
    assert get(signed_url(buyer(chain, server), *bought)).status == 429


def test_a_publisher_can_lower_a_quota_and_not_raise_it(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, metadata_store: MetadataStore
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    lower, higher = sell(file), sell(file)
    for (asset, _), count in ((lower, 1), (higher, 9)):
        service = metadata_store.documents[asset.did]["services"][0]
        service["additionalInformation"] = {"quotas": {"downloadsPerOrder": count}, "other": "kept"}
    server, obeying, off = launch(**PER_ORDER), launch(PROVIDER_QUOTAS_OF_PUBLISHERS="true"), launch()
    for host, bought, expected in (
        (server, lower, [200, 429, 429]),
        (server, higher, [200, 200, 429]),
        (obeying, lower, [200, 429, 429]),
        (obeying, higher, [200, 200, 200]),
        (off, lower, [200, 200, 200]),
    ):
        consumer = buyer(chain, host)
        assert [get(signed_url(consumer, *bought)).status for _ in range(3)] == expected


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


def test_two_hosts_count_together_in_redis_and_refuse_when_it_is_away(
    redis: RedisServer, launch: LaunchServer, chain: DemoChain, sold: Bought, tmp_path: Path
) -> None:
    hosts = [launch(REDIS_CONNECTION=redis.url, PROVIDER_QUOTA_DOWNLOADS_PER_ORDER="5") for _ in range(2)]
    consumers = [buyer(chain, host) for host in hosts]
    (linked,) = links(consumers[0], *sold)
    urls = [at(hosts[number % 2], linked["url"]) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        statuses = [reply.status for reply in pool.map(get, urls)]
    assert (statuses.count(200), statuses.count(429)) == (5, 15)
    refused = get(signed_url(consumers[1], *sold))
    assert (refused.status, "used up" in refused.error_text()) == (429, True)
    redis.kill()
    reply = get(urls[0])
    assert (reply.status, json.loads(reply.body)["error"] != "") == (503, True)
