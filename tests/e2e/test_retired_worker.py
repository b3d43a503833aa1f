"""After SIGHUP, a worker with streams only finishes them. Its successor does the rest."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_reload import all_pids_of, pids_of
from tests.support.logs import tracebacks
from tests.support.origin import Origin, wait_until
from tests.support.raw_http import connected
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

LOGS = "eth_getLogs"
ENDLESS = 4_000_000_000
STARTED = "process_start_time_seconds"


def streaming_pids(own: DemoServer) -> set[int]:
    """The workers with an open connection of a consumer."""
    port = urlsplit(own.url).port
    return {
        pid
        for pid in pids_of(own)
        if any(
            found.status == psutil.CONN_ESTABLISHED and found.laddr.port == port
            for found in psutil.Process(pid).net_connections("tcp")
        )
    }


@contextmanager
def streams_on_every_worker(own: DemoServer, buyer: Consumer, bought: tuple[Published, str]) -> Iterator[None]:
    """Begin endless downloads until each worker has one; nobody reads them to their end."""
    workers = all_pids_of(own)
    with ExitStack() as stack:
        while streaming_pids(own) != workers:
            sock: socket.socket = stack.enter_context(connected(own.url))
            target = buyer.download_url(*bought).removeprefix(own.url)
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        yield


def config_with(path: Path, node: RpcProxy) -> str:
    path.write_text(f'[chains]\nnetwork_url = "{node.url}"\n')
    return str(path)


def wait_for_polls(node: RpcProxy, count: int) -> None:
    until = node.count(LOGS) + 2 * count
    wait_until(lambda: node.count(LOGS) >= until)


def test_successors_alone_read_the_chain_send_proofs_and_tell_how_things_are(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, tmp_path: Path
) -> None:
    endless = sell(url_file(f"{origin.url}/bytes/{ENDLESS}"))
    small = sell(url_file(f"{origin.url}/data.csv"))
    with running_rpc_proxy(chain.url) as before, running_rpc_proxy(chain.url) as after:
        config = tmp_path / "provider.toml"
        own = launch(
            PROVIDER_WORKERS="2",
            PROVIDER_CONFIG_FILE=config_with(config, before),
            NETWORK_URL="",
            AQUARIUS_URL="",
            PROVIDER_INDEX_POLL_SECONDS="0.1",
            USE_CHAIN_PROOF="1",
            PROVIDER_MAX_STREAMS_PER_CONSUMER="100",
        )
        wait_until(lambda: own.child.stderr_tail(1 << 20).count('"listening"') == 2)
        buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
        old, old_start = all_pids_of(own), scrape(own.admin_url).total(STARTED)
        with streams_on_every_worker(own, buyer, endless):
            config_with(config, after)
            os.kill(own.child.pid, signal.SIGHUP)
            wait_until(lambda: own.child.stderr_tail(1 << 20).count('"draining"') == 2)
            # What was being read when they stepped back is read by now.
            wait_for_polls(after, 3)
            read_by_old = before.count(LOGS)
            assert buyer.download(*small).complete
            wait_until(lambda: after.raw_sent or before.raw_sent)
            wait_for_polls(after, 20)
            assert before.count(LOGS) == read_by_old
            assert (len(before.raw_sent), len(after.raw_sent)) == (0, 1)
            # The least of all workers is told: those that stepped back are not among them, though they live.
            wait_until(lambda: scrape(own.admin_url).total(STARTED) > old_start)
            assert old <= pids_of(own)
    # Their streams have ended with their consumers.
    wait_until(lambda: not old & pids_of(own))
    os.kill(own.child.pid, signal.SIGTERM)
    assert own.child._process.wait(60) == 0
    assert tracebacks(own.child.stderr_tail(1 << 20)) == []
