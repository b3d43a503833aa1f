"""What hosts share beside nonces: facts, and how many streams a consumer has."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from provider.errors import TooManyStreams
from provider.redis.client import RedisClient
from provider.redis.fact_cache import Codec, FactStore, SharedFactCache
from provider.redis.leases import StreamLeases
from tests.support.redis_clients import RedisClientOf
from tests.support.redis_server import RedisServer

SECRET = b"s" * 32
CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
KEY = "test:fact1:state:1"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


def _state(value: object) -> int:
    if type(value) is not int:
        raise ValueError("no state")
    return value


class Host:
    """The cache of one host, and how often it had to ask the chain."""

    def __init__(self, client: RedisClient, *, secret: bytes = SECRET, clock: Callable[[], float] = time.time) -> None:
        self.store = FactStore(client, prefix="test", secret=secret, clock=clock)
        codec: Codec[int, int] = Codec(str, lambda value: value or None, _state)
        self.cache: SharedFactCache[int, int] = SharedFactCache(
            self.store, codec, name="state", max_entries=10, ttl_seconds=60.0
        )
        self.asked = 0

    async def get(self, key: int, answer: int = 5) -> int:
        async def fetch() -> int:
            self.asked += 1
            return answer

        return await self.cache.get(key, fetch)

    async def put_away(self) -> None:
        """Wait until the server has what was fetched."""
        await self.store.close()


@pytest.mark.gen_test
async def test_what_one_host_has_read_the_others_know(server: RedisServer, redis_client: RedisClientOf) -> None:
    one, other = Host(redis_client(server.url)), Host(redis_client(server.url))
    assert await one.get(1) == 5
    await one.put_away()
    assert await other.get(1, answer=6) == 5
    assert await other.get(1, answer=6) == 5
    assert (one.asked, other.asked) == (1, 0)
    assert await other.get(2, answer=0) == 0
    await other.put_away()
    assert server.ask("EXISTS", "test:fact1:state:2") == b":0\r\n"


@pytest.mark.gen_test
async def test_what_one_host_has_discarded_no_host_reads_from_the_shelf(
    server: RedisServer, redis_client: RedisClientOf
) -> None:
    one, other = Host(redis_client(server.url)), Host(redis_client(server.url))
    await one.get(1)
    await one.put_away()
    other.cache.discard(1)
    await other.put_away()
    assert server.ask("EXISTS", "test:fact1:state:1") == b":0\r\n"


@pytest.mark.gen_test
async def test_sharing_makes_no_fact_older_than_its_lifetime(server: RedisServer, redis_client: RedisClientOf) -> None:
    now = 1_000_000.0
    one, other = (
        Host(redis_client(server.url), clock=lambda: now),
        Host(redis_client(server.url), clock=lambda: now + 45),
    )
    await one.get(1)
    await one.put_away()
    await other.get(1)
    assert other.asked == 0
    ((_, expires_at, *_),) = other.cache._entries.values()
    assert expires_at <= time.monotonic() + 15
    late = Host(redis_client(server.url), clock=lambda: now + 60)
    assert await late.get(1, answer=7) == 7
    for host in (other, late):
        await host.put_away()


@pytest.mark.gen_test
async def test_made_up_values_are_not_believed(server: RedisServer, redis_client: RedisClientOf) -> None:
    payload = orjson.dumps([4_000_000_000.0, 9])
    honest = FactStore(redis_client(server.url), prefix="test", secret=SECRET)
    honest.write("state:2", 9, 1000.0)
    honest.write("state:3", "poison", 1000.0)
    await honest.close()
    server.ask("SET", KEY, "x" * 16 + payload.decode())
    server.ask("SET", "test:fact1:state:4", "short")
    server.ask("HSET", "test:fact1:state:5", "a", "b")
    server.ask("COPY", "test:fact1:state:2", "test:fact1:state:6")
    host = Host(redis_client(server.url))
    assert [await host.get(key) for key in (1, 2, 3, 4, 5, 6)] == [5, 9, 5, 5, 5, 5]
    await host.put_away()
    stranger = Host(redis_client(server.url), secret=b"t" * 32)
    assert await stranger.get(2) == 5
    await stranger.put_away()


@pytest.mark.gen_test
async def test_redis_that_is_away_is_a_miss_and_never_an_error(tmp_path: Path, redis_client: RedisClientOf) -> None:
    server = RedisServer(tmp_path)
    host = Host(redis_client(server.url))
    assert [await host.get(key) for key in (1, 2, 1)] == [5, 5, 5]
    assert host.asked == 2
    await host.put_away()


def leases_of(client: RedisClient, *, seconds: int = 30) -> StreamLeases:
    return StreamLeases(client, prefix="test", max_streams_per_consumer=2, lease_seconds=seconds)


@pytest.mark.gen_test
async def test_streams_are_counted_over_hosts(server: RedisServer, redis_client: RedisClientOf) -> None:
    one, other = leases_of(redis_client(server.url)), leases_of(redis_client(server.url))
    first, second = await one.acquire(CONSUMER), await other.acquire(CONSUMER)
    assert first
    assert second
    for leases in (one, other):
        with pytest.raises(TooManyStreams):
            await leases.acquire(CONSUMER)
    one.release(CONSUMER, first)
    await one.close()
    assert await other.acquire(CONSUMER)
    await other.close()
    assert server.ask("EXISTS", f"test:{{{CONSUMER}}}:streams") == b":0\r\n"


@pytest.mark.gen_test(timeout=20)
async def test_leases_of_a_host_that_died_end_and_those_of_others_are_renewed(
    server: RedisServer, redis_client: RedisClientOf
) -> None:
    dead, alive = (leases_of(redis_client(server.url), seconds=2) for _ in range(2))
    await dead.acquire(CONSUMER)
    assert dead._renewing
    dead._renewing.cancel()
    await alive.acquire(CONSUMER)
    deadline = time.monotonic() + 60
    while True:
        try:
            await alive.acquire(CONSUMER)
            break
        except TooManyStreams:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    with pytest.raises(TooManyStreams):
        await alive.acquire(CONSUMER)
    for leases in (dead, alive):
        await leases.close()


@pytest.mark.gen_test
async def test_without_redis_streams_are_admitted(tmp_path: Path, redis_client: RedisClientOf) -> None:
    leases = leases_of(redis_client(RedisServer(tmp_path).url))
    assert [await leases.acquire(CONSUMER) for _ in range(5)] == [None] * 5
    await leases.close()
