"""Two servers, one Redis, a node that counts: the chain is read once for both."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.origin import wait_until
from tests.support.redis_server import RedisServer
from tests.support.rpc_proxy import running_rpc_proxy

POLL_SECONDS = 0.5
TURNS = 10
# A page, and the transfers at the end of the chain.
QUERIES = 2


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


def block_of(host: DemoServer) -> float:
    return scrape(host.admin_url).total("provider_index_block")


def test_two_hosts_follow_the_chain_with_the_calls_of_one(
    redis: RedisServer, launch: LaunchServer, chain: DemoChain
) -> None:
    with ExitStack() as stack:
        nodes = [stack.enter_context(running_rpc_proxy(chain.url)) for _ in range(2)]
        settings = {
            "AQUARIUS_URL": "",
            "REDIS_CONNECTION": redis.url,
            "PROVIDER_INDEX_POLL_SECONDS": str(POLL_SECONDS),
        }
        hosts = [launch(wait=False, NETWORK_URL=node.url, **settings) for node in nodes]
        for host in hosts:
            host.wait_ready()

        def all_read() -> bool:
            return {block_of(host) for host in hosts} == {chain.w3.eth.block_number}

        wait_until(all_read)
        for node in nodes:
            node.trips.clear()
        began = time.monotonic()
        for _ in range(TURNS):
            chain.rpc("evm_mine")
            wait_until(all_read)
        intervals = (time.monotonic() - began) / POLL_SECONDS
        reads = sum("eth_getLogs" in trip for node in nodes for trip in node.trips)
        # Each for itself would be twice as many. Half of one host's is for a Redis that was late on a busy machine.
        assert reads <= 1.5 * QUERIES * (intervals + 2)
