"""Downloads of a file whose origin breaks at the first byte: nobody else pays for them, and none is invisible."""

import json
import time

import pytest

from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_reload import all_pids_of, ended, log_of, pids_of, reload_and_wait
from tests.support.logs import tracebacks
from tests.support.origin import Origin, wait_until

STREAMS = 5
CHUNKS, CODING, SOUND = 0, 1, 2
# Of a server with requests under way it would be PROVIDER_DRAIN_TIMEOUT_SECONDS, 30 by default.
SOON_SECONDS = 15


@pytest.fixture(scope="module")
def wares(sell: Sell, origin: Origin) -> tuple[Published, str]:
    return sell(*(url_file(origin.url + path) for path in ("/broken_chunks", "/no_gzip", "/data.csv")))


def lines_of(own: DemoServer) -> list[dict[str, object]]:
    """The lines of downloads in the access log."""
    lines = [json.loads(line) for line in log_of(own).splitlines() if '"endpoint":"download"' in line]
    assert len({line["request_id"] for line in lines}) == len(lines)
    return lines


def break_downloads(own: DemoServer, buyer: Consumer, wares: tuple[Published, str], file_index: int) -> None:
    """More of them than may be under way at once, and then one that works."""
    for _ in range(STREAMS + 1):
        assert buyer.download(*wares, file_index=file_index).status != 503
    assert buyer.download(*wares, file_index=SOUND).complete
    wait_until(lambda: scrape(own.admin_url).total("provider_requests_in_progress") == 0)
    assert scrape(own.admin_url).total("provider_streams_in_progress") == 0


@pytest.mark.parametrize("file_index", [CHUNKS, CODING])
def test_broken_bodies_take_no_place_leave_a_line_and_do_not_delay_the_end(
    file_index: int, launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str]
) -> None:
    own = launch(PROVIDER_MAX_STREAMS=str(STREAMS), PROVIDER_LOG_FORMAT="json")
    before = scrape(own.admin_url)
    break_downloads(own, Consumer(consumer.wallet, own.url), wares, file_index)
    asked = STREAMS + 2
    assert scrape(own.admin_url).since(before).total("provider_requests_total", endpoint="download") == asked
    wait_until(lambda: len(lines_of(own)) == asked)
    began = time.monotonic()
    assert ended(own) == 0
    assert time.monotonic() - began < SOON_SECONDS
    assert len(lines_of(own)) == asked
    assert tracebacks(log_of(own)) == []


def test_after_broken_bodies_old_workers_end_at_a_reload(
    launch: LaunchServer, consumer: Consumer, wares: tuple[Published, str]
) -> None:
    own = launch(PROVIDER_WORKERS="2")
    wait_until(lambda: scrape(own.admin_url).total("provider_workers") == 2)
    break_downloads(own, Consumer(consumer.wallet, own.url), wares, CHUNKS)
    before = all_pids_of(own)
    reload_and_wait(own)
    wait_until(lambda: len(pids_of(own)) == 2 and not before & pids_of(own))
    assert ended(own) == 0
