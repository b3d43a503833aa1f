"""What operators see: every metric right after busy moments, access lines, the log's level by signal, health."""

import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from provider.observability.metrics.instruments import Instrument
from provider.observability.metrics.metrics import DECLARED
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import Readings, scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_streams import open_download
from tests.support.origin import Origin, wait_until
from tests.support.processes import all_workers
from tests.support.raw_http import exchange
from tests.support.rpc_proxy import running_rpc_proxy

SIZES = (1000, 300_000)
DIES = 2
LARGE = 3
DOWNLOADS = 4


@pytest.fixture(scope="module")
def wares(sell: Sell, origin: Origin) -> tuple[Published, str]:
    files = [f"/bytes/{size}" for size in SIZES]
    return sell(*(url_file(origin.url + path) for path in (*files, "/dies", f"/bytes/{1 << 30}")))


def at(consumer: Consumer, server: DemoServer) -> Consumer:
    """The same consumer as a client of another server."""
    return Consumer(consumer.wallet, server.url)


def busy_moments(buyer: Consumer, asset: Published, tx: str) -> int:
    """Known numbers of everything; the body bytes of complete downloads."""
    received = 0
    for file_index, size in enumerate(SIZES):
        for _ in range(DOWNLOADS):
            got = buyer.download(asset, tx, file_index=file_index)
            assert (got.status, got.size_bytes) == (200, size)
            received += got.size_bytes
    used = buyer.next_nonce()
    assert buyer.download(asset, tx, nonce=used).status == 200
    assert buyer.download(asset, tx, nonce=used).status == 400
    assert buyer.download(asset, "0x" + "12" * 32).status == 400
    broken = buyer.download(asset, tx, file_index=DIES)
    assert not broken.complete
    with open_download(buyer.download_url(asset, tx, file_index=LARGE)) as leaver:
        assert leaver.recv(15).startswith(b"HTTP/1.1 200")
    return received + SIZES[0]


def moved(server: DemoServer, before: Readings) -> Readings:
    return scrape(server.admin_url).since(before)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_family_has_the_right_value_after_busy_moments(
    workers: int, launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str], origin: Origin
) -> None:
    own = launch(
        PROVIDER_WORKERS=str(workers),
        PROVIDER_RECEIPT_WAIT_SECONDS="0.3",
        PROVIDER_MAX_RESUMES="0",
        USE_HTTP_PROOF="http://127.0.0.1:9/",
    )
    wait_until(lambda: scrape(own.admin_url).total("provider_workers") == workers)
    before = scrape(own.admin_url)
    asset, tx = wares
    received = busy_moments(at(consumer, own), asset, tx)
    streams = 2 * DOWNLOADS + 3
    wait_until(lambda: moved(own, before).total("provider_streams_total") == streams)
    wait_until(lambda: scrape(own.admin_url).total("provider_streams_in_progress") == 0)
    wait_until(lambda: moved(own, before).total("provider_requests_total", endpoint="download") == streams + 2)
    now = moved(own, before)

    def total(name: str, **labels: str) -> int:
        return int(now.total(name, **labels))

    assert total("provider_requests_total", endpoint="download", status="200") == streams
    assert total("provider_requests_total", endpoint="download", status="400") == 2
    assert total("provider_request_seconds_count", endpoint="download") == streams + 2
    assert total("provider_first_byte_seconds_count", endpoint="download") == streams
    assert total("provider_nonces_total", result="accepted") == streams + 1
    assert total("provider_nonces_total", result="refused") == 1
    assert total("provider_nonce_commit_seconds_count") == streams + 2
    assert total("provider_errors_total", code="nonce_refused") == 1
    assert total("provider_order_refusals_total", code="order_not_found") == 1
    assert total("provider_order_refusals_total") == 1
    assert total("provider_streams_total", outcome="complete", path="copy") == DOWNLOADS + 1
    assert total("provider_streams_total", outcome="complete", path="splice") == DOWNLOADS
    assert total("provider_streams_total", outcome="upstream_truncated") == 1
    assert total("provider_streams_total", outcome="consumer_gone") == 1
    assert total("provider_streamed_bytes_total", outcome="complete") == received
    assert total("provider_streamed_bytes_total", outcome="upstream_truncated") > 0
    all_bytes = total("provider_streamed_bytes_total")
    assert total("provider_streamed_bytes_total", service_type="access", file_type="url", endpoint="download") == (
        all_bytes
    )
    assert total("provider_sent_bytes_total") == all_bytes
    # Of those that are long enough to tell: the second file, the one that dies, and the one that was left.
    assert total("provider_stream_bytes_per_second_count") >= DOWNLOADS
    assert total("provider_upstream_seconds_count", file_type="url", result="2xx") == streams
    assert 1 <= total("provider_decrypt_seconds_count", kind="files", result="ok") <= workers
    hits, misses = (total("provider_cache_requests_total", cache="ddo", result=it) for it in ("hit", "miss"))
    assert 1 <= misses <= workers
    assert hits + misses >= streams
    assert now.total("provider_cache_hit_age_seconds_count", cache="ddo") == hits
    assert total("provider_rpc_calls_total") >= total("provider_rpc_seconds_count") > 0
    latest = scrape(own.admin_url)
    assert latest.total("provider_chain_block_height") > 0
    assert latest.total("provider_rpc_endpoint_up") == 1
    assert latest.total("provider_proofs_queued") <= streams
    # Whoever left may have got nothing that could be proven.
    wait_until(lambda: moved(own, before).total("provider_proofs_total", outcome="queued") >= streams - 1)
    check_process(own, latest, workers)
    if workers > 1:
        # Read every two seconds at most.
        wait_until(lambda: _samples(request("GET", f"{own.admin_url}/metrics").body.decode()) >= WITH_WRITER)
    check_families(own, ELSEWHERE if workers > 1 else ELSEWHERE | WITH_WRITER)


def check_process(own: DemoServer, latest: Readings, workers: int) -> None:
    parent = psutil.Process(own.child.pid)
    processes = [parent] if workers == 1 else all_workers(parent.pid)
    rss = sum(process.memory_info().rss for process in processes)
    assert latest.total("process_resident_memory_bytes") == pytest.approx(rss, rel=0.5)
    used = sum(sum(process.cpu_times()[:2]) for process in processes)
    # The kernel rounds both times of a process down to its ticks.
    assert 0 < latest.total("process_cpu_seconds_total") <= used + 2 * len(processes) / os.sysconf("SC_CLK_TCK")
    assert 0 < latest.total("process_open_fds") <= max(process.num_fds() for process in processes) + 20
    assert latest.total("provider_build_info") == 1
    # The first look at the loop comes some time after the start.
    wait_until(lambda: scrape(own.admin_url).total("provider_event_loop_lag_seconds_count") > 0)
    assert 0 < latest.total("provider_storage_free_bytes") <= latest.total("provider_storage_size_bytes")


# Only with a metadata index, with several endpoints of one chain, or once somebody has to wait that long.
ELSEWHERE = {"provider_index_block", "provider_index_blocks_behind", "provider_index_last_poll_timestamp_seconds"}
ELSEWHERE |= {"provider_index_left_seconds"}
# Only with several workers, or with TLS: `test_reload.py` and `test_tls.py` look at these.
ELSEWHERE |= {"provider_worker_restarts_total", "provider_tls_certificate_expiry_timestamp_seconds"}
# Only with several workers.
WITH_WRITER = {"provider_nonce_writer_cpu_seconds", "provider_nonce_writer_resident_bytes"}
# Only with a slice cache: `test_slices.py`.
ELSEWHERE |= {"provider_slice_cache_up"}
# Only with Redis: `test_shared_limits.py`.
ELSEWHERE |= {"provider_redis_seconds", "provider_redis_up"}


def check_families(own: DemoServer, elsewhere: set[str]) -> None:
    """The metrics that are served are exactly the declared ones."""
    text = request("GET", f"{own.admin_url}/metrics").body.decode()
    described = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert described == [(metric.name, metric.kind) for metric in DECLARED.values()]
    samples = _samples(text)
    for metric in DECLARED.values():
        if metric.name not in elsewhere | {"provider_rpc_endpoint_block"}:
            assert _sample(metric) in samples, metric.name


def _samples(text: str) -> set[str]:
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def _sample(metric: Instrument) -> str:
    return f"{metric.name}_count" if metric.kind in ("histogram", "summary") else metric.name


def lines(own: DemoServer, message: str) -> list[Mapping[str, object]]:
    """Log lines of one message."""
    found = []
    for line in own.child.stderr_tail(1 << 22).splitlines():
        if line.startswith("{"):
            parsed = json.loads(line)
            if parsed["message"] == message:
                found.append(parsed)
    return found


def downloads_in(own: DemoServer) -> list[Mapping[str, object]]:
    """Access lines of downloads."""
    return [line for line in lines(own, "request") if line["endpoint"] == "download"]


def ask_nonce(own: DemoServer, request_id: str) -> None:
    url = f"{own.url}/api/services/nonce?userAddress=0x{'12' * 20}"
    assert request("GET", url, headers={"X-Request-ID": request_id}).status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_level_follows_the_signal_there_and_back(workers: int, launch: LaunchServer) -> None:
    own = launch(LOG_LEVEL="WARNING", PROVIDER_WORKERS=str(workers))
    wait_until(lambda: scrape(own.admin_url).total("provider_workers") == workers)
    ask_nonce(own, "before")
    for number, level in enumerate(("DEBUG", "WARNING", "DEBUG"), 1):
        os.kill(own.child.pid, signal.SIGUSR1)
        wait_until(lambda number=number: len(lines(own, "log level changed")) == number * workers)
        assert lines(own, "log level changed")[-1]["level"] == level
        ask_nonce(own, f"at-{level}")
    wait_until(lambda: len(lines(own, "request")) == 2)
    assert [line["request_id"] for line in lines(own, "request")] == ["at-DEBUG", "at-DEBUG"]


def test_an_access_line_tells_steps_bytes_and_outcome(
    launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str]
) -> None:
    own = launch(PROVIDER_RECEIPT_WAIT_SECONDS="0.3")
    asset, tx = wares
    buyer = at(consumer, own)
    assert buyer.download(asset, tx).status == 200
    assert buyer.download(asset, "0x" + "13" * 32).status == 400
    wait_until(lambda: len(downloads_in(own)) == 2)
    served, refused = downloads_in(own)
    assert (served["status"], served["outcome"], served["bytes"]) == (200, "complete", SIZES[0])
    assert (refused["status"], refused["outcome"], refused["code"]) == (400, "refused", "order_not_found")
    steps, refused_steps = served["steps"], refused["steps"]
    assert isinstance(steps, dict)
    assert isinstance(refused_steps, dict)
    assert list(steps) == ["signature", "nonce", "asset", "order", "files", "upstream", "stream"]
    assert list(refused_steps) == ["signature", "nonce", "asset", "order"]
    seconds = served["seconds"]
    assert isinstance(seconds, float)
    assert all(step >= 0 for step in steps.values())
    assert sum(steps.values()) <= seconds + 1e-5
    named = {"did": asset.did, "service": asset.service(0)["id"], "order_tx": tx}
    assert {key: served.get(key) for key in named} == named
    assert refused["order_tx"] == "0x" + "13" * 32
    assert consumer.address.lower() not in json.dumps(served).lower()


def test_an_access_line_names_no_dataset_when_it_must_not(
    launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str]
) -> None:
    own = launch(PROVIDER_LOG_DATASETS="false")
    assert at(consumer, own).download(*wares).status == 200
    wait_until(lambda: len(downloads_in(own)) == 1)
    assert not downloads_in(own)[0].keys() & {"did", "service", "order_tx"}


def ready(own: DemoServer) -> tuple[int, dict[str, str]]:
    reply = request("GET", f"{own.admin_url}/readyz")
    return reply.status, reply.json()["checks"]


def test_a_store_that_cannot_be_written_is_not_ready(launch: LaunchServer, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    own = launch(STORAGE_PATH=str(path))
    assert ready(own)[0] == 200
    with sqlite3.connect(path, isolation_level=None) as locker:
        # As a disk that takes no more writes: nobody gets the write lock.
        locker.execute("BEGIN IMMEDIATE")
        wait_until(lambda: ready(own)[0] == 503)
        status, checks = ready(own)
        assert (status, checks["store"] != "ok", checks["chain"]) == (503, True, "ok")
        locker.execute("ROLLBACK")
    locker.close()
    wait_until(lambda: ready(own)[0] == 200)


def test_a_chain_that_is_down_is_not_ready_and_liveness_does_not_mind(launch: LaunchServer, chain: DemoChain) -> None:
    """Once its node is back every worker knows, though nobody asks anything."""
    with running_rpc_proxy(chain.url) as proxy:
        own = launch(NETWORK_URL=proxy.url, PROVIDER_WORKERS="2")
        assert ready(own)[0] == 200
        proxy.up = False
        wait_until(lambda: ready(own)[0] == 503)
        assert "cannot be reached" in ready(own)[1]["chain"]
        assert proxy.url not in json.dumps(ready(own)[1])
        assert request("GET", f"{own.admin_url}/healthz").json() == {"status": "alive"}
        wait_until(lambda: scrape(own.admin_url).total("provider_rpc_endpoint_up") == 0)
        proxy.up = True
        wait_until(lambda: scrape(own.admin_url).total("provider_rpc_endpoint_up") == 1)


def test_an_index_that_is_behind_is_not_ready_until_it_is_level(launch: LaunchServer, chain: DemoChain) -> None:
    with running_rpc_proxy(chain.url) as between:
        between.answers["eth_blockNumber"] = lambda _: hex(10_000_000)
        own = launch(AQUARIUS_URL="", NETWORK_URL=between.url, PROVIDER_INDEX_POLL_SECONDS="0.2", wait=False)
        wait_until(lambda: ready_now(own) == 503)
        wait_until(lambda: "blocks on chain 8996" in ready(own)[1]["index"])
        assert scrape(own.admin_url).total("provider_index_blocks_behind") > 500
        assert scrape(own.admin_url).total("provider_index_last_poll_timestamp_seconds") == 0
        between.answers.clear()
        own.wait_ready()
        # Ready is also who lacks a few blocks.
        wait_until(lambda: scrape(own.admin_url).total("provider_index_blocks_behind") == 0)
        # Told a moment after the block that it has read.
        wait_until(lambda: scrape(own.admin_url).total("provider_index_last_poll_timestamp_seconds") > 0)
        latest = scrape(own.admin_url)
        assert latest.total("provider_index_block") == chain.w3.eth.block_number
        assert time.time() - latest.total("provider_index_last_poll_timestamp_seconds") < 60
        assert latest.total("provider_chain_block_height") >= chain.w3.eth.block_number


def ready_now(own: DemoServer) -> int | None:
    """Status of /readyz, None while nobody listens."""
    try:
        return ready(own)[0]
    except OSError:
        return None


def test_metrics_can_be_turned_off(launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str]) -> None:
    own = launch(PROVIDER_METRICS="off")
    asset, tx = wares
    assert at(consumer, own).download(asset, tx).status == 200
    assert request("GET", f"{own.admin_url}/metrics").body == b"# PROVIDER_METRICS is off\n"
    assert request("GET", f"{own.admin_url}/healthz").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/dashboard/", "/dashboard/events", "/", "/none"])
def test_the_admin_listener_answers_no_host_of_a_stranger(path: str, server: DemoServer) -> None:
    reply = request("GET", server.admin_url + path, headers={"Host": "rebound.example"})
    assert (reply.status, reply.headers["cache-control"]) == (421, "no-store")
    assert b"provider_" not in reply.body


def test_probes_and_scrapers_are_answered_under_the_names_they_use(launch: LaunchServer) -> None:
    own = launch(PROVIDER_ADMIN_HOSTS="provider.example, Other.example")
    port = own.admin_url.rpartition(":")[2]
    accepted = ("10.1.2.3", f"[::1]:{port}", "localhost", f"provider:{port}", "provider.a.svc", "provider.example")
    for host in (*accepted, f"other.example:{port}"):
        for path in ("/metrics", "/healthz", "/readyz"):
            assert request("GET", own.admin_url + path, headers={"Host": host}).status == 200, host
    # HTTP/1.0 needs no Host.
    assert exchange(own.admin_url, b"GET /healthz HTTP/1.0\r\n\r\n").status == 200
