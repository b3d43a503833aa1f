"""Two hosts of two workers each, storage of their own, one Redis: a signed request counts once over all of them."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.child import ChildFailed
from provider.testing.http_client import Reply, ReplyRefused, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_streams import open_download
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import CSV, Origin, wait_until
from tests.support.redis_server import AOF, RedisServer, Watched, needs_redis

IDENTICAL_REQUESTS = 400
OPEN_AT_ONCE = 200
SMALL, LARGE = 0, 1


@dataclass(frozen=True)
class Purchase:
    """A consumer with an order, on the way to either host."""

    consumer: Consumer
    asset: Published
    order_tx: str
    hosts: tuple[DemoServer, DemoServer]

    def url(self, file_index: int = SMALL) -> str:
        """A freshly signed download from the first host."""
        return self.consumer.download_url(self.asset, self.order_tx, file_index=file_index)

    def at_both(self, url: str) -> list[str]:
        """The same signed request to each host."""
        parts = urlsplit(url)
        return [f"{host.url}{parts.path}?{parts.query}" for host in self.hosts]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, *AOF).start()
    yield server
    server.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    needs_redis()
    servers = Watched(tmp_path)
    yield servers
    servers.stop()


@pytest.fixture
def purchase(
    launch: LaunchServer, chain: DemoChain, publisher: StoringPublisher, origin: Origin
) -> Callable[..., Purchase]:
    """Launch both hosts with these settings, and let a consumer buy."""

    def buy(key: str, **settings: str) -> Purchase:
        hosts = tuple(launch(wait=False, PROVIDER_WORKERS="2", **settings) for _ in range(2))
        for host in hosts:
            host.wait_ready()
        consumer = Consumer(chain.wallet(key), hosts[0].url)
        asset = publisher.publish([url_file(f"{origin.url}/data.csv"), url_file(f"{origin.url}/bytes/{64 << 20}")])
        publisher.mint(asset.datatokens[0], consumer.address)
        return Purchase(consumer, asset, consumer.order(asset), (hosts[0], hosts[1]))

    return buy


async def _ask(url: str, gate: asyncio.Semaphore) -> tuple[int, bytes]:
    parts = urlsplit(url)
    async with gate:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            head = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: provider\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            reply = await reader.read(-1)
        finally:
            writer.close()
    head_bytes, _, body = reply.partition(b"\r\n\r\n")
    return int(head_bytes.split(b" ")[1]), body


def ask_many(urls: list[str], *, halfway: Callable[[], None] | None = None) -> list[tuple[int, bytes]]:
    """Every URL once, `OPEN_AT_ONCE` at a time; `halfway` runs in a thread when half of them are answered."""
    event = threading.Event()

    def wait_and_run() -> None:
        assert event.wait(60)
        if halfway is not None:
            halfway()

    async def ask_all() -> list[tuple[int, bytes]]:
        gate, answers = asyncio.Semaphore(OPEN_AT_ONCE), []
        for done in asyncio.as_completed([_ask(url, gate) for url in urls]):
            answers.append(await done)
            if len(answers) == len(urls) // 2:
                event.set()
        return answers

    thread = threading.Thread(target=wait_and_run)
    thread.start()
    answers = asyncio.run(ask_all())
    thread.join()
    return answers


def test_of_many_identical_requests_over_two_hosts_exactly_one_is_served(
    redis: RedisServer, purchase: Callable[..., Purchase]
) -> None:
    # Every one is to reach the nonce rule, so none may be refused before for being too many at once.
    bought = purchase(SPARE_KEYS[8], REDIS_CONNECTION=redis.url, PROVIDER_OVERLOAD_LAG_SECONDS="0")
    urls = bought.at_both(bought.url()) * (IDENTICAL_REQUESTS // 2)
    answers = ask_many(urls)
    assert [body for status, body in answers if status == 200] == [CSV]
    assert Counter(status for status, _ in answers) == {200: 1, 400: IDENTICAL_REQUESTS - 1}
    # What one host has seen the other tells.
    nonces = [
        request("GET", f"{host.url}/api/services/nonce?userAddress={bought.consumer.address}") for host in bought.hosts
    ]
    assert nonces[0].json() == nonces[1].json()


def test_eight_urls_signed_at_once_are_each_served_once_over_two_hosts(
    purchase: Callable[..., Purchase], redis: RedisServer
) -> None:
    bought = purchase(SPARE_KEYS[5], REDIS_CONNECTION=redis.url)
    first = time.time_ns() // 10**6
    signed = [
        bought.consumer.download_url(bought.asset, bought.order_tx, file_index=SMALL, nonce=str(first + step))
        for step in (5, 1, 7, 0, 3, 6, 2, 4)
    ]
    urls = [url for one in signed for url in bought.at_both(one)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda url: request("GET", url).status, urls))
    assert Counter(answers) == {200: 8, 400: 8}
    assert all(sorted(answers[place : place + 2]) == [200, 400] for place in range(0, 16, 2))


def test_of_many_identical_requests_with_a_failover_in_the_middle_at_most_one_is_served(
    watched: Watched, purchase: Callable[..., Purchase]
) -> None:
    bought = purchase(
        SPARE_KEYS[9],
        REDIS_CONNECTION=watched.url,
        PROVIDER_REDIS_WAIT_REPLICAS="1",
        PROVIDER_REDIS_TIMEOUT_SECONDS="1",
    )
    urls = bought.at_both(bought.url()) * (IDENTICAL_REQUESTS // 2)
    answers = ask_many(urls, halfway=watched.kill_master)
    # The master is gone, the replica is promoted, and the old master comes back as its replica.
    wait_until(lambda: b"role:master" in watched.replica.replication())
    watched.master.start()
    # The Sentinels say this too, ten seconds later.
    watched.master.ask("REPLICAOF", "127.0.0.1", watched.replica.port)
    wait_until(lambda: b"state=online" in watched.replica.replication())
    wait_until(lambda: _serves(bought))
    answers += ask_many(urls[:20])
    statuses = Counter(status for status, _ in answers)
    assert statuses[200] <= 1
    assert set(statuses) <= {200, 400, 503}
    assert statuses[503] > 0


def test_while_redis_is_away_only_what_needs_a_nonce_is_refused(
    redis: RedisServer, purchase: Callable[..., Purchase], origin: Origin
) -> None:
    bought = purchase(SPARE_KEYS[2], REDIS_CONNECTION=redis.url, PROVIDER_MAX_STREAMS_PER_CONSUMER="1")
    host, other = bought.hosts
    stream = open_download(bought.url(LARGE))
    assert stream.recv(12) == b"HTTP/1.1 200"
    # The limit of streams is counted over both hosts.
    over = request("GET", bought.at_both(bought.url())[1])
    assert over.status == 429
    ready = bought.url()
    redis.kill()
    refused = request("GET", ready)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert "storage" in json.loads(refused.body)["error"]
    assert request("GET", host.url).status == 200
    assert _post(host, "encrypt?chainId=8996", b"x", "application/octet-stream").status == 201
    file = json.dumps(url_file(f"{origin.url}/data.csv")).encode()
    assert _post(host, "fileinfo", file, "application/json").status == 200
    assert bought.consumer.initialize(bought.asset)["nonce"] is None
    wait_until(lambda: request("GET", f"{other.admin_url}/readyz").status == 503)
    assert request("GET", f"{other.admin_url}/healthz").status == 200
    assert len(stream.recv(1 << 16)) > 0
    redis.start()
    wait_until(lambda: request("GET", f"{other.admin_url}/readyz").status == 200)
    stream.close()
    wait_until(lambda: _serves(bought, at=1))


def test_redis_that_is_away_does_not_end_the_start_and_one_that_forgets_does(
    tmp_path: Path, redis: RedisServer, launch: LaunchServer
) -> None:
    away = RedisServer(tmp_path, *AOF)
    host = launch(wait=False, REDIS_CONNECTION=f"redis://:planted-password@127.0.0.1:{away.port}")
    wait_until(lambda: _answers(host))
    assert request("GET", f"{host.admin_url}/readyz").status == 503
    redis.ask("CONFIG", "SET", "maxmemory", "50mb")
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    refused = launch(wait=False, REDIS_CONNECTION=redis.url)
    with pytest.raises(
        ChildFailed, match=r"(?s)status 1.*REDIS_CONNECTION: maxmemory-policy allkeys-lru evicts nonces"
    ):
        refused.wait_ready()


def _serves(bought: Purchase, *, at: int = 0) -> bool:
    """Does this one of its hosts serve? The first one tells the last nonce."""
    try:
        return request("GET", bought.at_both(bought.url())[at]).status == 200
    except ReplyRefused:
        # The last nonce is not told while the store is away.
        return False


def _answers(host: DemoServer) -> bool:
    try:
        return request("GET", host.url).status == 200
    except OSError:
        return False


def _post(host: DemoServer, path: str, body: bytes, content_type: str) -> Reply:
    return request("POST", f"{host.url}/api/services/{path}", body=body, headers={"Content-Type": content_type})
