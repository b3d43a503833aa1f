"""Limits of clients over workers and hosts: the script in a real Redis, and what happens when that has a bad day."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from tornado.ioloop import IOLoop

from provider.admission.buckets import Buckets
from provider.admission.shared_pace import SharedPace
from provider.redis.client import RedisClient
from provider.redis.rate_limits import TAKE, SharedLimits
from tests.support.pace_model import PaceModel
from tests.support.redis_clients import RedisClientOf
from tests.support.redis_server import Cluster, RedisServer

SECRET = b"s" * 32
CLIENT = b"\xc0\x00\x02\x01"
# So slowly that nothing comes back while a busy machine takes its time.
RATE, BURST = 0.01, 100
MICRO = 1e-6
Start = Callable[..., "Worker"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test may kill."""
    own = RedisServer(tmp_path).start()
    yield own
    own.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    nodes = Cluster(tmp_path)
    yield nodes
    nodes.stop()


@pytest.fixture
def start(io_loop: IOLoop, redis_client: RedisClientOf) -> Iterator[Start]:
    """Workers: `start(url of Redis, **options of Worker)`; what they keep open ends with the test."""
    started: list[Worker] = []

    def begin(url: str, **options: float) -> Worker:
        started.append(Worker(redis_client(url, logs_outages=False), **options))
        return started[-1]

    yield begin
    for worker in started:
        io_loop.run_sync(worker.limits.close)


class Worker:
    """The buckets of one worker, shared through Redis."""

    def __init__(self, client: RedisClient, *, rate: float = RATE) -> None:
        self.client = client
        self.limits = SharedLimits(self.client, prefix="test", secret=SECRET)
        self.buckets = self._shared("paid", rate)
        self.others = self._shared("guarded", rate)

    def _shared(self, name: str, rate: float) -> Buckets:
        buckets = Buckets(rate=rate, burst=BURST, max_clients=10_000)
        self.limits.add(SharedPace(name, buckets, wake=self.limits.wake))
        return buckets

    def ask(self, client: bytes = CLIENT) -> bool:
        return self.buckets.take(client, time.monotonic()) == 0.0

    def spend(self, client: bytes = CLIENT) -> int:
        """Ask until refused, in one turn of the loop."""
        asked = 0
        while self.ask(client):
            asked += 1
        return asked

    async def told(self) -> None:
        """Wait until all charges were told, or dropped."""
        await until(lambda: self.limits._reporter is None)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def keys_of(server: RedisServer) -> list[str]:
    return [word.decode() for word in server.ask("KEYS", "test:*").split(b"\r\n") if word.startswith(b"test:")]


def number_at(server: RedisServer, key: str) -> int:
    return int(server.ask("GET", key).split(b"\r\n")[1])


@pytest.mark.gen_test(timeout=20)
async def test_the_script_decides_as_the_model_does(server: RedisServer, redis_client: RedisClientOf) -> None:
    client = redis_client(server.url)
    random, model = Random(7), PaceModel()
    for _ in range(300):
        key = random.choice(["test:{a}:1", "test:{a}:2"])
        age, cost = random.choice([0, 5_000, 400_000, 3_000_000]), random.choice([1, 10_000, 2_000_000, 90_000_000])
        most = random.choice([1_000_000, 40_000_000])
        (left,) = await client.ask(TAKE.call([key], [500_000, age, cost, most]))
        full = number_at(server, key)
        # What Redis saw on its clock in that moment.
        now = (full - left) * MICRO
        expected = model.take(key, now, age=age * MICRO, cost=cost * MICRO, most=most * MICRO)
        assert left * MICRO == pytest.approx(expected, abs=3 * MICRO)
        model.full_at[key] = full * MICRO


@pytest.mark.gen_test(timeout=20)
async def test_what_one_worker_has_given_the_others_do_not_give_again(server: RedisServer, start: Start) -> None:
    one, other = start(server.url), start(server.url)
    assert one.spend() == BURST
    await one.told()
    assert other.ask()
    await other.told()
    assert not other.ask()
    assert other.buckets.wait_seconds(CLIENT, time.monotonic()) <= 2 / RATE
    # Neither another client nor another kind of request pays for it.
    assert other.ask(b"\xc0\x00\x02\x02")
    assert other.others.take(CLIENT, time.monotonic()) == 0.0
    await other.told()
    assert other.ask(b"\xc0\x00\x02\x02")
    assert other.others.take(CLIENT, time.monotonic()) == 0.0


@pytest.mark.gen_test(timeout=20)
async def test_keys_tell_nobody_s_address_and_end_soon_after_the_bucket_is_full(
    server: RedisServer, start: Start
) -> None:
    worker, stranger = start(server.url), start(server.url)
    stranger.limits._secret = b"t" * 32
    worker.spend()
    await worker.told()
    (key,) = keys_of(server)
    assert key.startswith("test:{limits")
    assert CLIENT.hex() not in key
    lifetime = int(server.ask("PTTL", key)[1:])
    assert 0 < lifetime <= (BURST / RATE + 2) * 1000
    stranger.ask()
    await stranger.told()
    assert len(keys_of(server)) == 2


@pytest.mark.gen_test(timeout=20)
async def test_a_key_that_holds_something_else_is_begun_anew_and_harms_no_other(
    server: RedisServer, start: Start
) -> None:
    worker = start(server.url, rate=1)
    clients = [bytes((10, 0, 0, number)) for number in range(64)]
    for client in clients:
        worker.ask(client)
    await worker.told()
    keys = keys_of(server)
    assert len(keys) == 64
    for number, key in enumerate(keys):
        server.ask("DEL", key)
        if number % 4 == 1:
            server.ask("HSET", key, "a", "b")
        if number % 4 == 2:
            server.ask("SET", key, "nan")
        if number % 4 == 3:
            server.ask("SET", key, "9" * 30)
    for client in clients:
        worker.ask(client)
    await worker.told()
    # Gone or strange: begun anew. A time far away: as much as is ever owed, and no more.
    assert all(worker.ask(client) for client in clients if worker.buckets.wait_seconds(client, time.monotonic()) == 0)
    waits = sorted(worker.buckets.wait_seconds(client, time.monotonic()) for client in clients)
    assert waits[:48] == [0.0] * 48
    assert all(0 < wait <= 31 for wait in waits[48:])


@pytest.mark.gen_test(timeout=20)
async def test_a_key_that_was_evicted_costs_the_client_nothing_and_the_worker_goes_on(
    server: RedisServer, start: Start
) -> None:
    worker = start(server.url, rate=0.25)
    assert worker.spend() == BURST
    await worker.told()
    server.ask("FLUSHALL")
    assert not worker.ask()
    await until(worker.ask)
    await worker.told()
    assert not worker.ask()
    assert number_at(server, *keys_of(server)) > 0


@pytest.mark.gen_test(timeout=30)
async def test_while_redis_is_away_workers_go_on_and_afterwards_nobody_pays_for_that(
    redis: RedisServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "provider.shared")
    one, other = start(redis.url, rate=50), start(redis.url, rate=50)
    one.ask()
    await one.told()
    redis.kill()
    assert one.spend() >= BURST - 1
    assert other.spend() >= BURST
    for worker in (one, other):
        # Some intervals of an outage.
        for _ in range(3):
            await until(worker.ask)
            await worker.told()
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(":")[0] for line in lines] == ["limits are not shared; each worker counts for itself"] * 2
    redis.start()
    for worker in (one, other):
        await until(lambda worker=worker: worker.ask() and not worker.limits._is_down)  # type: ignore[misc]
        assert worker.buckets.wait_seconds(CLIENT, time.monotonic()) < 1.0
    assert sum(record.getMessage() == "limits are shared again" for record in caplog.records) == 2


@pytest.mark.gen_test(timeout=30)
async def test_clients_are_spread_over_the_masters_of_a_cluster(cluster: Cluster, start: Start) -> None:
    one, other = start(cluster.url), start(cluster.url)
    clients = [number.to_bytes(4) for number in range(1, 61)]
    for client in clients:
        assert one.spend(client) == BURST
    await one.told()
    sizes = [int(node.ask("DBSIZE")[1:]) for node in cluster.nodes]
    assert sum(sizes) == 60
    assert min(sizes) > 0
    for client in clients:
        assert other.ask(client)
    await other.told()
    assert not any(other.ask(client) for client in clients)
