"""Limits of clients over two servers and one Redis: a burst once, and a Redis that is away stops nobody."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.testing.http_client import request
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.origin import wait_until
from tests.support.redis_server import RedisServer

BURST = 100
# Public addresses, as a trusted proxy tells them.
CLIENT, OTHER_CLIENT, LATE_CLIENT = "8.8.8.8", "8.8.4.4", "9.9.9.9"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


def ask(host: DemoServer, client: str = CLIENT) -> bool:
    """Is a cheap request let in?"""
    status = request("GET", host.url, headers={"X-Forwarded-For": client}).status
    assert status in {200, 429}
    return status == 200


def spend(host: DemoServer, client: str = CLIENT) -> int:
    """How many requests are let in before one is not."""
    admitted = 0
    while ask(host, client):
        admitted += 1
    return admitted


def metric(host: DemoServer, series: str) -> float:
    text = request("GET", f"{host.admin_url}/metrics").body.decode()
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, series
    return float(found[1])


def test_who_spreads_over_two_hosts_has_a_burst_once_and_redis_that_is_away_stops_nobody(
    redis: RedisServer, launch: LaunchServer
) -> None:
    one, other = (
        launch(
            wait=False,
            REDIS_CONNECTION=redis.url,
            TRUSTED_PROXIES="127.0.0.1",
            PROVIDER_CHEAP_REQUESTS_PER_SECOND="1",
            PROVIDER_CHEAP_BURST=str(BURST),
        )
        for _ in range(2)
    )
    for host in (one, other):
        host.wait_ready()
    assert spend(one) >= BURST
    # The first tells of it within an interval; the other hears of it when it tells of its own.
    admitted = 0

    def is_refused() -> bool:
        nonlocal admitted
        is_in = ask(other)
        admitted += is_in
        return not is_in

    wait_until(lambda: metric(one, 'provider_redis_seconds_count{operation="limits",result="ok"}') > 0)
    # Slowly, so that seconds of a busy machine between two exchanges do not count.
    wait_until(is_refused, every_seconds=0.1)
    # By itself it would have let in a burst.
    assert admitted < BURST / 2
    assert ask(other, OTHER_CLIENT)
    redis.kill()
    # Each decides for itself, and nobody sees an error.
    assert spend(one, LATE_CLIENT) >= BURST
    assert spend(other, LATE_CLIENT) >= BURST
    wait_until(lambda: metric(other, "provider_redis_up") == 0)
    wait_until(lambda: metric(other, 'provider_redis_seconds_count{operation="limits",result="failed"}') > 0)
    redis.start()
    wait_until(lambda: metric(other, "provider_redis_up") == 1)
    # Nobody pays for the outage: a token a second is there as soon as it would have been.
    wait_until(lambda: ask(other, LATE_CLIENT))
    assert ask(one, "1.1.1.1")
