"""What `provider check` says about Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.commands.check.redis_probe import probe_redis
from provider.commands.check.table import Finding, State
from provider.redis.config import RedisConfig
from provider.redis.url import parse_target
from tests.support.redis_server import AOF, RedisServer


async def findings(url: str, *, wait_replicas: int = 0) -> list[Finding]:
    return await probe_redis(
        RedisConfig(
            target=parse_target(url),
            prefix="check",
            timeout_seconds=1.0,
            wait_replicas=wait_replicas,
            shares_facts=True,
        )
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"), *AOF).start()
    yield running
    running.stop()


@pytest.mark.gen_test
async def test_redis_that_keeps_everything_is_one_good_line(server: RedisServer) -> None:
    (found,) = await findings(server.url)
    assert found.state is State.OK
    assert found.what == f"Redis (127.0.0.1:{server.port})"
    assert "can be written, version 7" in found.detail or "can be written, version" in found.detail
    assert "0 replicas" in found.detail


@pytest.mark.gen_test
async def test_what_may_be_forgotten_is_a_warning_each(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "appendfsync", "everysec")
    server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    found = await findings(server.url)
    server.ask("CONFIG", "SET", "appendfsync", "always")
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert [item.state for item in found] == [State.OK, State.WARN, State.WARN]
    assert "volatile-lru may drop revocations" in found[1].detail
    assert "appendfsync everysec" in found[2].detail


@pytest.mark.gen_test
async def test_replicas_that_are_not_there_are_missed(server: RedisServer) -> None:
    (found,) = await findings(server.url, wait_replicas=1)
    assert found.state is State.FAIL
    assert "too few replicas" in found.detail


@pytest.mark.gen_test
async def test_redis_that_cannot_be_used_fails_without_its_password(server: RedisServer, tmp_path: Path) -> None:
    away = RedisServer(tmp_path)
    for url, words in (
        (f"redis://:planted@127.0.0.1:{away.port}", "Connection refused"),
        (f"redis://:planted@127.0.0.1:{server.port}", "refuses the user or the password"),
        # It takes the client's greeting for a command that has not ended yet.
        (f"rediss://:planted@127.0.0.1:{server.port}", "no answer within 1 s"),
        (f"redis+sentinel://127.0.0.1:{server.port}/main", "no Sentinel names a master"),
        (f"redis+cluster://127.0.0.1:{server.port}", "no node of the cluster tells the slots"),
    ):
        (found,) = await findings(url)
        assert found.state is State.FAIL
        assert words in found.detail, (words, found.detail)
        assert "planted@" not in repr(found)
