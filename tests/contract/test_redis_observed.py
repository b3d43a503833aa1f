"""What metrics hear of Redis: what it was asked for, how long that took, whether it answered, whether it is up."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import provider.redis.client as client_module
from provider.auth.redis_store import RedisNonceStore
from provider.errors import NonceRefused, StoreError
from provider.observability.metrics.backends import Redis
from provider.observability.metrics.instruments import LabelValues
from provider.redis.client import RedisClient
from provider.redis.leases import StreamLeases
from provider.redis.url import parse_target
from tests.support.redis_server import RedisServer

CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path).start()
    yield running
    running.stop()


@pytest.mark.gen_test(timeout=30)
async def test_each_question_is_told_by_what_it_is_for_and_whether_it_was_answered(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PROBE_SECONDS", 0.05)
    metrics = Redis()

    def seen() -> dict[LabelValues, float]:
        assert all(0 <= cell[0] < 20 for cell in metrics.seconds.values.values())
        counts = {labels: sum(cell[1:]) for labels, cell in metrics.seconds.values.items()}
        return {labels: count for labels, count in counts.items() if count}

    client = RedisClient(parse_target(server.url), timeout_seconds=15.0, logs_outages=False, metrics=metrics)
    try:
        store = RedisNonceStore(client, prefix="test")
        await store.check()
        assert {operation for operation, _ in seen()} == {"check"}
        metrics.seconds.values.clear()
        await store.use(CONSUMER, "1")
        with pytest.raises(NonceRefused):
            await store.use(CONSUMER, "1")
        await store.revoke("token", int(time.time()) + 60)
        await StreamLeases(client, prefix="test", max_streams_per_consumer=1).acquire(CONSUMER)
        assert seen() == {("nonce", "ok"): 2, ("revocation", "ok"): 1, ("leases", "ok"): 1}
        # An error reply is no answer, but Redis is up all the same.
        server.ask("SET", f"test:{{{CONSUMER}}}:nonce", "no hash")
        with pytest.raises(StoreError):
            await store.last(CONSUMER)
        assert seen()["nonce", "failed"] == 1
        assert client.is_up
        server.ask("FLUSHALL")
        server.kill()
        with pytest.raises(StoreError):
            await store.use(CONSUMER, "2")
        assert seen()["nonce", "failed"] >= 2
        assert not client.is_up
        server.start()
        # Nobody asks anything.
        await until(lambda: ("check", "ok") in seen())
        assert client.is_up
    finally:
        await client.close()
