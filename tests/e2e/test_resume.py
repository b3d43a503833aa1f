"""Origins that are lost in the middle of a download, through the whole server."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_streams import open_download
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.operator import Result
from tests.support.origin import Origin, pattern, pattern_sha256, running_origin, wait_until

SIZE = 1_500_001
MOST = 200_003


@pytest.fixture(scope="module")
def flaky() -> Iterator[Origin]:
    """An origin whose requests belong to this file."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="module")
def sold(sell: Sell, flaky: Origin) -> tuple[Published, str]:
    return sell(url_file(f"{flaky.url}/flaky/{SIZE}/{MOST}"), url_file(f"{flaky.url}/mute/{SIZE}/{MOST}"))


def last_access(server: DemoServer) -> dict[str, object]:
    """The last line of the log that tells of a download."""
    lines = [line for line in server.child.stderr_tail(20_000).splitlines() if '"endpoint":"download"' in line]
    return json.loads(lines[-1]) if lines else {}


def test_a_consumer_sees_nothing_of_it_but_the_right_bytes(
    server: DemoServer, consumer: Consumer, sold: tuple[Published, str], flaky: Origin
) -> None:
    before = len(flaky.seen)
    got = consumer.download(*sold)
    assert (got.status, got.complete, got.size_bytes, got.sha256) == (200, True, SIZE, pattern_sha256(SIZE))
    assert len(flaky.seen) - before == 8
    wait_until(lambda: last_access(server).get("resumes") == 7)
    metrics = scrape(server.admin_url)
    assert metrics.total("provider_stream_resumes_total", endpoint="download") >= 7
    assert metrics.total("provider_streams_resumed_total", endpoint="download") >= 1


def test_a_part_is_continued_as_well(consumer: Consumer, sold: tuple[Published, str]) -> None:
    got = consumer.download(*sold, headers={"Range": "bytes=100-900099"})
    assert (got.status, got.complete, got.size_bytes) == (206, True, 900_000)
    assert got.sha256 == hashlib.sha256(pattern(SIZE)[100:900_100]).hexdigest()


def test_a_consumer_that_leaves_ends_the_request_for_the_rest(
    consumer: Consumer, sold: tuple[Published, str], flaky: Origin
) -> None:
    asked = f"/mute/{SIZE}/{MOST}"
    with open_download(consumer.download_url(*sold, file_index=1)) as connection:
        connection.settimeout(60)
        received = 0
        while received < MOST:
            received += len(connection.recv(1 << 16))
        wait_until(lambda: len(flaky.requests(asked)) == 2 and flaky.active == 1)
    wait_until(lambda: flaky.active == 0)


def test_results_of_jobs_are_continued_with_a_nonce_of_their_own(c2d: ComputeClient, origin: Origin) -> None:
    main = c2d.dataset(f"{origin.url}/data.csv")
    (tx,) = c2d.buy([main], None, environment=FREE)
    reply = c2d.start(c2d.item(main, tx), {"meta": RAW}, environment=FREE)
    assert reply.status == 200, reply.body
    (job,) = reply.json()
    c2d.operator.finish(job["jobId"], Result("out.bin", "output", pattern(100_000), lost_after=30_001))
    got = c2d.result(job["jobId"], 0)
    assert (got.status, got.complete, got.sha256) == (200, True, pattern_sha256(100_000))


def test_an_operator_may_forbid_it(launch: LaunchServer, consumer: Consumer, sold: tuple[Published, str]) -> None:
    own = launch(PROVIDER_MAX_RESUMES="0")
    got = Consumer(consumer.wallet, own.url).download(*sold)
    assert (got.complete, got.size_bytes <= MOST) == (False, True)
