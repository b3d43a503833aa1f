"""Several hosts, one chain and a real Redis: one asks the node, the others take, and nobody depends on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.log_node import CHAIN_ID, FACTORY, LogNode, listening
from provider.assets.chain_scan import ChainScan
from provider.assets.index_store import IndexStore
from provider.assets.shared_chain import SharedChain
from provider.redis.client import RedisClient
from provider.redis.fact_cache import FactStore
from provider.redis.url import parse_target
from tests.support.made_up_chain import is_known, scan_of
from tests.support.redis_server import RedisServer

SECRET = b"s" * 32
# Longer than any of these tests: one poll is all that they get.
POLL_SECONDS = 600.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def redis(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


@dataclass(frozen=True, slots=True)
class Host:
    scan: ChainScan
    store: IndexStore
    facts: FactStore

    async def has(self, data_nft: str) -> bool:
        return await is_known(self.store, data_nft)

    async def look(self) -> bool:
        """As for a DID that is not known."""
        return await self.scan.run(budget_seconds=20.0)


@asynccontextmanager
async def hosts_on(
    node: LogNode, redis: RedisServer, folder: Path, count: int, *, secret: bytes = SECRET
) -> AsyncIterator[list[Host]]:
    async with AsyncExitStack() as stack:
        hosts = []
        for number in range(count):
            client = RedisClient(parse_target(redis.url), timeout_seconds=20.0, logs_outages=False)
            facts = FactStore(client, prefix="test", secret=secret)
            stack.push_async_callback(facts.close)
            others = SharedChain(
                facts, chain_id=CHAIN_ID, factory=FACTORY, max_document_bytes=1 << 20, poll_seconds=POLL_SECONDS
            )
            scan, store = await stack.enter_async_context(scan_of(node, folder / f"index{number}", others=others))
            hosts.append(Host(scan, store, facts))
        yield hosts


async def in_step(hosts: list[Host], redis: RedisServer) -> None:
    """Let all of them read what there is, and end the claim of the one that did it for them."""
    for host in hosts:
        assert await host.scan.run()
        await written(host)
    next_interval(redis)


async def written(host: Host) -> None:
    """Wait until Redis has what the host told."""
    while host.facts.is_writing:  # noqa: ASYNC110 - its writing ends by itself
        await asyncio.sleep(0.001)


def next_interval(redis: RedisServer) -> None:
    for key in keys(redis, ":claim:"):
        redis.ask("DEL", key)


def keys(redis: RedisServer, part: str) -> list[str]:
    """Keys that contain `part`, from the raw reply."""
    return [line.decode() for line in redis.ask("KEYS", f"*{part}*").split() if part.encode() in line]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("count", [2, 8])
async def test_one_host_asks_the_node_and_the_others_take_its_pages(
    tmp_path: Path, redis: RedisServer, count: int
) -> None:
    node = LogNode(head=100)
    old = node.publish(50, 1)
    async with listening(node), hosts_on(node, redis, tmp_path, count) as hosts:
        await in_step(hosts, redis)
        before = node.requests
        new = []
        for turn in range(6):
            node.head += 3
            new.append(node.publish(node.head - 1, 10 + turn))
            # Each time another one comes first.
            for place in range(count):
                host = hosts[(turn + place) % count]
                assert await host.scan.run()
                await written(host)
            for host in hosts:
                assert host.scan.last_block == node.head
                assert host.scan.behind == 0
                assert {await host.has(data_nft) for data_nft in [old, *new]} == {True}
            next_interval(redis)
        # The newest block, the page, and transfers.
        assert node.requests - before == 6 * 3


class GrowingNode(LogNode):
    """A node that has a new block each time it is asked for the number of the newest one, some times."""

    left = 0

    def _reply(self, call: Mapping[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_blockNumber" and self.left:
            self.left -= 1
            self.head += 1
        return super()._reply(call)


@pytest.mark.gen_test(timeout=60)
async def test_blocks_that_come_while_one_host_reads_reach_the_others(tmp_path: Path, redis: RedisServer) -> None:
    node = GrowingNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 2) as (one, other):
        await in_step([one, other], redis)
        node.left = 4
        assert await one.scan.run()
        await written(one)
        before = node.requests
        assert await other.scan.run()
        assert (other.scan.last_block, node.requests) == (104, before)


@pytest.mark.gen_test(timeout=60)
async def test_made_up_dids_at_many_hosts_are_one_look(tmp_path: Path, redis: RedisServer) -> None:
    node = LogNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 8) as hosts:
        await in_step(hosts, redis)
        before = node.requests
        assert set(await asyncio.gather(*(host.look() for host in hosts))) == {True}
        # A busy machine may need more than the one interval of the look.
        assert node.requests - before < len(hosts)


@pytest.mark.gen_test(timeout=60)
async def test_a_look_at_the_block_that_was_read_asks_for_nothing_else(tmp_path: Path, redis: RedisServer) -> None:
    node = LogNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 1) as (host,):
        await in_step([host], redis)
        before, asked = node.requests, len(node.asked)
        assert await host.look()
        assert (node.requests - before, len(node.asked)) == (1, asked)


@pytest.mark.gen_test(timeout=60)
async def test_an_asset_is_found_by_the_host_that_did_not_look(tmp_path: Path, redis: RedisServer) -> None:
    node = LogNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 2) as (one, other):
        await in_step([one, other], redis)
        node.head = 101
        data_nft = node.publish(101, 1)
        assert await one.look()
        await written(one)
        assert await other.look()
        assert await other.has(data_nft)


@pytest.mark.gen_test(timeout=60)
async def test_a_host_that_comes_later_falls_into_step(tmp_path: Path, redis: RedisServer) -> None:
    node = LogNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 2) as (one, late):
        await in_step([one], redis)
        node.head = 110
        # It reads up to where the other is, and no farther.
        assert await late.scan.run()
        assert late.scan.last_block == 100
        assert await one.scan.run()
        await written(one)
        before = node.requests
        assert await late.scan.run()
        assert (late.scan.last_block, node.requests) == (110, before)


@pytest.mark.gen_test(timeout=60)
async def test_blocks_that_are_replaced_leave_every_host(tmp_path: Path, redis: RedisServer) -> None:
    node = LogNode(head=100)
    gone = node.publish(98, 1)
    async with listening(node), hosts_on(node, redis, tmp_path, 3) as hosts:
        await in_step(hosts, redis)
        node.reorganise(95)
        node.head = 103
        kept = node.publish(99, 2)
        for host in hosts:
            assert await host.scan.run()
            await written(host)
        for host in hosts:
            assert (await host.has(gone), await host.has(kept)) == (False, True)


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("loss", ["emptied", "other key", "no pages", "garbage"])
async def test_what_redis_lost_or_made_up_is_read_from_the_node(tmp_path: Path, redis: RedisServer, loss: str) -> None:
    node = LogNode(head=100)
    async with listening(node), hosts_on(node, redis, tmp_path, 2) as hosts:
        await in_step(hosts, redis)
        node.head = 101
        data_nft = node.publish(101, 1)
        assert await hosts[0].scan.run()
        await written(hosts[0])
        for key in keys(redis, ":index:"):
            if loss == "emptied" or (loss == "no pages" and ":after:" in key):
                redis.ask("DEL", key)
            elif loss in {"garbage", "other key"}:
                # The second is what somebody without our key can write.
                redis.ask("SET", key, "x" * (200 if loss == "garbage" else 17))
        assert await hosts[1].scan.run()
        assert hosts[1].scan.last_block == 101
        assert await hosts[1].has(data_nft)


@pytest.mark.gen_test(timeout=60)
async def test_without_redis_each_asks_for_itself(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    node = LogNode(head=100)
    try:
        async with listening(node), hosts_on(node, server, tmp_path, 2) as hosts:
            await in_step(hosts, server)
            server.kill()
            node.head = 101
            data_nft = node.publish(101, 1)
            for host in hosts:
                assert await host.scan.run()
                assert await host.has(data_nft)
    finally:
        server.stop()
