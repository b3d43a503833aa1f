"""Names whose servers are silent, sent by anybody: downloads, readiness and the operator's own services go on.

`--soak` runs the attack for five minutes and compares the times of downloads with those of a quiet minute.
"""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin
from tests.support.resolver import Names, running_resolver, serve_command
from tests.support.silent_names import Attack, file_info, timed_downloads

CONNECT_SECONDS = 2.0
FILES = 60
# Long enough for connections to the node to close, so that its name is looked up again meanwhile.
SOAK_SECONDS, QUIET_SECONDS = 300.0, 60.0


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(running_resolver("127.66.0.2"))
        except OSError:
            pytest.skip("no right to answer on port 53")
        running.silent = {"slow.test"}
        running.below = {"good.test": ["127.0.0.1"], "operator.test": ["127.0.0.1"]}
        yield running


@pytest.fixture(scope="module")
def attacked(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    tmp_path_factory: pytest.TempPathFactory,
    names: Names,
) -> DemoServer:
    """A server that knows its node and its metadata store by name and opens a connection for every download."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a mount namespace")
    folder: Path = tmp_path_factory.mktemp("attacked")
    settings = {
        "NETWORK_URL": _named(chain.url, "node.operator.test"),
        "AQUARIUS_URL": _named(metadata_store.url, "store.operator.test"),
        "PROVIDER_CONNECT_TIMEOUT_SECONDS": str(CONNECT_SECONDS),
        "PROVIDER_CACHE_DDO_SECONDS": "0",
        "PROVIDER_MAX_IDLE_CONNECTIONS": "0",
    }
    command = serve_command(folder, names.server)
    started = launch_server(children, chain, folder, settings, name="attacked", command=command)
    started.wait_ready()
    return started


@pytest.fixture(scope="module")
def bought_files(sell: Sell, origin: Origin) -> tuple[Published, str]:
    """Files of one origin under many names: each needs a look-up and a connection of its own."""
    return sell(*(url_file(_named(f"{origin.url}/data.csv", f"n{i}.good.test")) for i in range(FILES)))


def _named(url: str, host: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{host}:{parts.port}").geturl()


def is_ready(server: DemoServer) -> bool:
    return request("GET", f"{server.admin_url}/readyz").status == 200


@pytest.mark.parametrize(("clients", "requests"), [(8, 24), (80, 240)])
def test_downloads_and_readiness_go_on_while_silent_names_are_asked_for(
    attacked: DemoServer,
    chain: DemoChain,
    bought_files: tuple[Published, str],
    clients: int,
    requests: int,
) -> None:
    consumer = Consumer(chain.wallet(CONSUMER_KEY), attacked.url)
    ready: list[bool] = []
    deadline = time.monotonic() + 20
    with Attack(attacked.url, clients, requests) as attack:

        def goes_on() -> bool:
            ready.append(is_ready(attacked))
            return len(ready) <= 30 or (not attack.is_over and time.monotonic() < deadline)

        seconds = timed_downloads(consumer, bought_files, FILES, goes_on)
    assert all(ready)
    assert set(attack.statuses) == {200}
    # A download takes some 20 ms; with the old resolver those that did not fail took seconds.
    assert sorted(seconds)[len(seconds) // 2] < 1.0
    assert max(seconds) < CONNECT_SECONDS


def test_a_silent_name_is_a_504_with_a_code_of_its_own(
    attacked: DemoServer, chain: DemoChain, sell: Sell, names: Names
) -> None:
    consumer = Consumer(chain.wallet(CONSUMER_KEY), attacked.url)
    silent, unknown = sell(url_file("http://a.slow.test/x")), sell(url_file("http://unknown.test/x"))
    for _ in range(2):
        answer = consumer.download(*silent)
        assert (answer.status, answer.headers["retry-after"]) == (504, "30")
        assert b"slow.test" not in answer.error_body
    assert names.lookups("a.slow.test") > 0
    assert consumer.download(*unknown).status == 400
    metrics = request("GET", f"{attacked.admin_url}/metrics").body.decode()
    assert 'provider_errors_total{code="upstream_name_unanswered",fault="origin"} 2' in metrics


def test_look_ups_count_for_the_client_that_a_trusted_proxy_tells(
    launch: LaunchServer, names: Names, origin: Origin
) -> None:
    own = launch(
        TRUSTED_PROXIES="127.0.0.1",
        PROVIDER_MAX_INSPECTIONS="0",
        PROVIDER_DNS_SERVERS=names.server,
        PROVIDER_CONNECT_TIMEOUT_SECONDS="6",
    )
    urls = [f"http://s{i}.slow.test/" for i in range(90)]
    with ThreadPoolExecutor(len(urls)) as pool:
        flood = [pool.submit(file_info, own.url, url, client="1.1.1.1") for url in urls]
        # The first answer is a refusal: the others' names are still being asked for.
        assert next(as_completed(flood)).result().status == 503
        other = file_info(own.url, _named(f"{origin.url}/data.csv", "n1.good.test"), client="2.2.2.2")
        answers = [done.result() for done in flood]
    assert [item["valid"] for item in other.json()] == [True]
    assert sorted(answer.status for answer in answers) == [200] * 64 + [503] * 26
    assert all(answer.headers["retry-after"] == "2" for answer in answers if answer.status == 503)


@pytest.mark.skipif("not config.getoption('--soak')")
def test_five_minutes_of_silent_names_leave_the_times_of_downloads_as_they_were(
    attacked: DemoServer, chain: DemoChain, bought_files: tuple[Published, str]
) -> None:
    consumer = Consumer(chain.wallet(CONSUMER_KEY), attacked.url)
    ready: list[bool] = []

    def measured(duration_seconds: float) -> list[float]:
        deadline = time.monotonic() + duration_seconds

        def goes_on() -> bool:
            time.sleep(0.05)
            ready.append(is_ready(attacked))
            return time.monotonic() < deadline

        return timed_downloads(consumer, bought_files, FILES, goes_on)

    quiet = measured(QUIET_SECONDS)
    # 3.2 requests a second, as in 240 in 75 s.
    with Attack(attacked.url, 8, 100_000, pause_seconds=0.9) as attack:
        under_attack = measured(SOAK_SECONDS)
    percentiles = [quantiles(times, n=100)[98] for times in (quiet, under_attack)]
    print(
        f"\np99 quiet {percentiles[0] * 1000:.1f} ms of {len(quiet)}, attacked {percentiles[1] * 1000:.1f} ms of "
        f"{len(under_attack)}, {len(attack.statuses)} requests of the attack, ready {sum(ready)} of {len(ready)}"
    )
    assert all(ready)
    assert percentiles[1] <= 2 * percentiles[0]
