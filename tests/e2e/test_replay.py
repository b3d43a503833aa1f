"""A signed request counts once: over workers, and over `kill -9`."""

import http.client
import itertools
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.logs import tracebacks
from tests.support.origin import CSV, Origin, wait_until
from tests.support.processes import all_workers, nonce_writer

IDENTICAL_REQUESTS = 200


@pytest.fixture
def launch(children: Children, chain: DemoChain, tmp_path: Path) -> Callable[..., DemoServer]:
    """Start a server of this test's own; several starts share one storage."""

    def start(name: str, **environ: str) -> DemoServer:
        started = launch_server(
            children, chain, tmp_path, {"STORAGE_PATH": str(tmp_path / "nonces.db"), **environ}, name=name
        )
        started.wait_ready()
        return started

    return start


def buy(
    chain: DemoChain, server: DemoServer, origin: Origin, keys: list[str]
) -> tuple[Published, list[tuple[Consumer, str]]]:
    """A small file published through `server`, and each key's consumer with an order of it."""
    publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    buyers = []
    for key in keys:
        consumer = Consumer(chain.wallet(key), server.url)
        publisher.mint(asset.datatokens[0], consumer.address)
        buyers.append((consumer, consumer.order(asset)))
    return asset, buyers


def test_of_identical_requests_over_two_workers_exactly_one_is_served(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin
) -> None:
    server = launch("two-workers", PROVIDER_WORKERS="2")
    asset, [(consumer, order_tx)] = buy(chain, server, origin, SPARE_KEYS[:1])
    url = consumer.download_url(asset, order_tx)
    host = urlsplit(url)
    connections = [http.client.HTTPConnection(str(host.hostname), host.port or 0) for _ in range(IDENTICAL_REQUESTS)]
    for connection in connections:
        connection.connect()
    together = threading.Barrier(IDENTICAL_REQUESTS)

    def ask(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        together.wait()
        connection.request("GET", f"{host.path}?{host.query}")
        reply = connection.getresponse()
        return reply.status, reply.read()

    with ThreadPoolExecutor(IDENTICAL_REQUESTS) as pool:
        answers = list(pool.map(ask, connections))
    for connection in connections:
        connection.close()
    served = [body for status, body in answers if status == 200]
    assert served == [CSV]
    assert {status for status, _ in answers} == {200, 400}
    assert all(b"Invalid signature expected nonce" in body for status, body in answers if status == 400)


def test_no_nonce_accepted_before_kill_9_is_accepted_after_the_restart(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin
) -> None:
    first = launch("killed")
    asset, buyers = buy(chain, first, origin, SPARE_KEYS[1:5])
    accepted: list[str] = []
    enough = threading.Event()

    def download_until_killed(buyer: tuple[Consumer, str]) -> None:
        consumer, order_tx = buyer
        nonce = 1
        while True:
            url = consumer.download_url(asset, order_tx, nonce=str(nonce))
            try:
                reply = request("GET", url)
            except (OSError, http.client.HTTPException):
                return
            assert reply.status == 200
            accepted.append(url.removeprefix(first.url))
            nonce += 1
            if len(accepted) >= 100:
                enough.set()

    threads = [threading.Thread(target=download_until_killed, args=(buyer,)) for buyer in buyers]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    os.kill(first.child.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(30)

    second = launch("restarted")
    statuses = {request("GET", second.url + path).status for path in accepted}
    assert statuses == {400}
    consumer, order_tx = buyers[0]
    fresh = request("GET", consumer.download_url(asset, order_tx, nonce=str(10**9)).replace(first.url, second.url))
    assert fresh.status == 200


def test_the_writer_of_nonces_may_be_killed_at_any_time_and_ends_with_its_server(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin
) -> None:
    server = launch("writer-killed", PROVIDER_WORKERS="2")
    asset, buyers = buy(chain, server, origin, SPARE_KEYS[1:5])
    accepted: list[str] = []
    refused: list[Reply] = []
    stop = threading.Event()

    def download(buyer: tuple[Consumer, str]) -> None:
        consumer, order_tx = buyer
        for nonce in itertools.takewhile(lambda _: not stop.is_set(), itertools.count(1)):
            url = consumer.download_url(asset, order_tx, nonce=str(nonce))
            reply = request("GET", url)
            if reply.status == 200:
                accepted.append(url)
            else:
                refused.append(reply)

    threads = [threading.Thread(target=download, args=(buyer,)) for buyer in buyers]
    for thread in threads:
        thread.start()
    killed: set[int] = set()
    for _ in range(3):
        goal = len(accepted) + 40
        wait_until(lambda goal=goal: len(accepted) >= goal)
        wait_until(lambda: (writer := nonce_writer(server.child.pid)) is not None and writer.pid not in killed)
        writer = nonce_writer(server.child.pid)
        assert writer is not None
        killed.add(writer.pid)
        writer.kill()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert {reply.status for reply in refused} <= {503}
    assert len(refused) <= 3 * len(buyers)
    assert {request("GET", url).status for url in accepted} == {400}
    assert len(all_workers(server.child.pid)) == 2
    wait_until(lambda: (writer := nonce_writer(server.child.pid)) is not None and writer.pid not in killed)
    last = nonce_writer(server.child.pid)
    assert last is not None
    os.kill(server.child.pid, signal.SIGTERM)
    assert server.child._process.wait(60) == 0
    assert not last.is_running()
    assert tracebacks(server.child.stderr_tail(1 << 20)) == []


def test_the_writer_of_nonces_is_closed_to_other_users(launch: Callable[..., DemoServer], tmp_path: Path) -> None:
    server = launch("closed", PROVIDER_WORKERS="2", TMPDIR=str(tmp_path))
    wait_until(lambda: nonce_writer(server.child.pid) is not None and len([*tmp_path.glob("*/nonces-*")]) == 1)
    (socket,) = tmp_path.glob("*/nonces-*")
    assert socket.is_socket()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_the_writer_of_nonces_ends_with_a_supervisor_that_is_killed(launch: Callable[..., DemoServer]) -> None:
    server = launch("supervisor-killed", PROVIDER_WORKERS="2")
    wait_until(lambda: nonce_writer(server.child.pid) is not None)
    writer = nonce_writer(server.child.pid)
    assert writer is not None
    os.kill(server.child.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([writer], timeout=60)
    assert not alive


@pytest.mark.parametrize("unit", [10**6, 10**3, 1], ids=["ms", "us", "ns"])
def test_eight_urls_that_one_buyer_signed_at_once_are_each_served_once(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin, unit: int
) -> None:
    server = launch("parallel", PROVIDER_WORKERS="2")
    asset, [(consumer, order_tx)] = buy(chain, server, origin, SPARE_KEYS[3:4])
    first = time.time_ns() // unit
    urls = [consumer.download_url(asset, order_tx, nonce=str(first + step)) for step in range(8)]
    shuffled = [urls[place] for place in (7, 2, 5, 0, 6, 1, 4, 3)]
    for expected in (200, 400):
        with ThreadPoolExecutor(8) as pool:
            assert [reply.status for reply in pool.map(lambda url: request("GET", url), shuffled)] == [expected] * 8
    told = request("GET", f"{server.url}/api/services/nonce?userAddress={consumer.address}").json()
    assert told == {"nonce": str(first + 7)}


def test_small_counters_stay_strictly_rising(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin
) -> None:
    server = launch("counters")
    asset, [(consumer, order_tx)] = buy(chain, server, origin, SPARE_KEYS[4:5])
    urls = [consumer.download_url(asset, order_tx, nonce=str(nonce)) for nonce in (5, 7, 6)]
    assert [request("GET", url).status for url in urls] == [200, 200, 400]


def test_digits_do_not_move_between_the_fields_of_a_signed_result(
    launch: Callable[..., DemoServer], chain: DemoChain, origin: Origin
) -> None:
    """Index 12 with a nonce is not index 1 with a longer one, nor a token; and nobody is locked out by trying."""
    server = launch("shifted", OPERATOR_SERVICE_URL=f"{origin.url}/")
    asset, [(consumer, order_tx)] = buy(chain, server, origin, SPARE_KEYS[5:6])
    services, address = f"{server.url}/api/services", consumer.address
    nonce = str(time.time_ns() // 10**6)
    signature = consumer.sign(f"{address}7712", nonce)

    def result(job: str, index: str, used: str) -> Reply:
        query = {"jobId": job, "index": index, "consumerAddress": address, "nonce": used, "signature": signature}
        return request("GET", f"{services}/computeResult?{urlencode(query)}")

    def token(used: str) -> Reply:
        query = {"address": address, "expiration": str(int(time.time()) + 999), "nonce": used, "signature": signature}
        return request("GET", f"{services}/createAuthToken?{urlencode(query)}")

    def is_refused(reply: Reply) -> bool:
        return reply.status == 400 and "signature" in reply.json()["errors"]

    for _ in range(2):
        assert is_refused(result("77", "1", "2" + nonce))
        assert is_refused(token("7712" + nonce))
    first = result("77", "12", nonce)
    assert first.status != 400 or "errors" not in first.json()
    for _ in range(2):
        assert is_refused(result("77", "12", nonce))
        assert is_refused(result("77", "1", "2" + nonce))
        assert is_refused(token("7712" + nonce))
    later = consumer.download_url(asset, order_tx, nonce=str(time.time_ns() // 10**6))
    assert request("GET", later).status == 200
