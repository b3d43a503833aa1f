"""The pool of idle connections is bounded in number, idle time and age."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from provider.upstream.connections import Connections, IdlePool
from provider.upstream.names import Names
from provider.upstream.tls_connection import TlsConnection, TlsSession
from provider.upstream.urls import parse_url

A, B = ("http", "a.example", 80, "did:op:1"), ("https", "b.example", 443, "did:op:1")
URL, OTHER_URL = "http://a.example/1", "http://a.example/2"


class FakeConnection:
    def __init__(self, *, quiet: bool = True, age_seconds: float = 0) -> None:
        self.quiet, self.closed, self.opened_at = quiet, False, time.monotonic() - age_seconds
        self.closing = asyncio.Event()

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed = True
        self.closing.set()


@pytest.fixture
def pool_of() -> Callable[..., IdlePool]:
    def make(**limits: float) -> IdlePool:
        usual = {"max_idle": 4, "share": 2, "idle_seconds": 30, "age_seconds": 300, "quiet_seconds": 0}
        return IdlePool(**(usual | limits))

    return make


@pytest.mark.gen_test
async def test_the_last_one_used_is_taken_first(pool_of) -> None:
    pool, one, two = pool_of(), FakeConnection(), FakeConnection()
    pool.put(A, URL, one)
    pool.put(A, URL, two)
    assert pool.take(A, URL) is two
    assert pool.take(A, URL) is one
    assert pool.take(A, URL) is None
    pool.close()


@pytest.mark.gen_test
async def test_origins_do_not_share(pool_of) -> None:
    pool, one = pool_of(), FakeConnection()
    pool.put(A, URL, one)
    assert pool.take(B, URL) is None
    assert pool.take(("http", "a.example", 81, "did:op:1"), URL) is None
    assert pool.take(("https", "a.example", 80, "did:op:1"), URL) is None
    assert pool.take(A, URL) is one
    pool.close()


@pytest.mark.gen_test
async def test_a_dead_or_talking_connection_is_closed_not_given(pool_of) -> None:
    pool, dead, alive = pool_of(), FakeConnection(quiet=False), FakeConnection()
    pool.put(A, URL, alive)
    pool.put(A, URL, dead)
    assert pool.take(A, URL) is alive
    assert dead.closed
    pool.close()


def put(pool: IdlePool, partition: tuple[str, str, int, str | None], count: int) -> list[FakeConnection]:
    connections = [FakeConnection() for _ in range(count)]
    for connection in connections:
        pool.put(partition, URL, connection)
    return connections


@pytest.mark.gen_test
async def test_one_busy_file_may_use_the_whole_pool(pool_of) -> None:
    pool = pool_of()
    assert [connection.closed for connection in put(pool, A, 5)] == [True, False, False, False, False]
    assert len(pool) == 4
    pool.close()


@pytest.mark.gen_test
async def test_a_busy_file_keeps_no_other_out(pool_of) -> None:
    pool = pool_of()
    of_a, of_b = put(pool, A, 4), put(pool, B, 2)
    assert [connection.closed for connection in of_a] == [True, True, False, False]
    # With more than its share, it makes room for itself, although a connection of the other is older.
    more_of_b = put(pool, B, 2)
    assert [connection.closed for connection in of_a] == [True, True, False, False]
    assert [connection.closed for connection in of_b + more_of_b] == [True, True, False, False]
    pool.close()
    assert all(connection.closed for connection in of_a + more_of_b)
    assert len(pool) == 0


@pytest.mark.gen_test
async def test_a_connection_is_not_kept_beyond_its_age(pool_of) -> None:
    pool, old = pool_of(), FakeConnection(age_seconds=301)
    pool.put(A, URL, old)
    assert old.closed
    assert pool.take(A, URL) is None


@pytest.mark.gen_test
async def test_idle_connections_are_closed_after_their_time(pool_of) -> None:
    pool, one, two = pool_of(idle_seconds=0.02), FakeConnection(), FakeConnection()
    pool.put(A, URL, one)
    pool.put(B, URL, two)
    async with asyncio.timeout(5):
        await one.closing.wait()
        await two.closing.wait()
    assert len(pool) == 0


@pytest.mark.gen_test
async def test_a_sweep_leaves_connections_whose_time_is_not_over(pool_of, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("provider.upstream.connections.time", SimpleNamespace(monotonic=lambda: now[0]))
    pool, old, young = pool_of(idle_seconds=0.01), FakeConnection(), FakeConnection()
    pool.put(A, URL, old)
    now[0] = 105.0
    pool.put(A, URL, young)
    await old.closing.wait()
    assert not young.closed
    assert pool.take(A, URL) is young
    pool.put(A, URL, young)
    now[0] = 106.0
    await young.closing.wait()
    assert len(pool) == 0


@pytest.mark.gen_test
async def test_parties_do_not_share(pool_of) -> None:
    pool, one = pool_of(), FakeConnection()
    pool.put(A, URL, one)
    assert pool.take((*A[:3], "did:op:2"), URL) is None
    assert pool.take((*A[:3], ""), URL) is None
    assert pool.take(A, URL) is one
    pool.close()


@pytest.mark.gen_test
async def test_a_connection_rests_before_it_serves_another_url(pool_of) -> None:
    pool, one, two = pool_of(quiet_seconds=60), FakeConnection(), FakeConnection()
    pool.put(A, URL, one)
    pool.put(A, OTHER_URL, two)
    assert pool.take(A, "http://a.example/3") is None
    assert pool.take(A, URL) is one
    assert pool.take(A, OTHER_URL) is two
    pool.close()


@pytest.mark.gen_test
async def test_a_rested_connection_serves_any_url_of_its_party(pool_of) -> None:
    pool, one = pool_of(quiet_seconds=0), FakeConnection()
    pool.put(A, URL, one)
    assert pool.take(A, OTHER_URL) is one
    pool.close()


@pytest.mark.gen_test
async def test_requests_without_a_party_share_for_one_url_only(pool_of) -> None:
    pool, one = pool_of(quiet_seconds=0), FakeConnection()
    nobody = (*A[:3], "")
    pool.put(nobody, URL, one)
    assert pool.take(nobody, OTHER_URL) is None
    assert pool.take(nobody, URL) is one
    pool.close()


class FinishedHandshake(TlsConnection):
    """A connection whose session was made from a certificate of this age."""

    def __init__(self, certificate_age_seconds: float) -> None:
        self.session = TlsSession(object(), time.monotonic() - certificate_age_seconds)  # type: ignore[arg-type]

    def take_session(self) -> TlsSession:
        return self.session


def resumed(monkeypatch: pytest.MonkeyPatch, connections: Connections, url: str) -> list[TlsSession | None]:
    """The session that the next connection to `url` would resume; its handshake fails."""
    given: list[TlsSession | None] = []

    def refuse(*_: object, resume: TlsSession | None) -> TlsConnection:
        given.append(resume)
        raise OSError

    monkeypatch.setattr("provider.upstream.connections.TlsConnection", refuse)
    with pytest.raises(OSError), socket.socket() as sock:  # noqa: PT011
        asyncio.run(connections._secured(sock, parse_url(url)))
    return given


@pytest.mark.parametrize(("url", "age_seconds", "is_given"), [
    ("https://a.example", 590.0, True),
    ("https://a.example", 601.0, False),
    ("https://a.example:8443", 0.0, False),
])  # fmt: skip
def test_a_tls_session_is_resumed_for_its_origin_until_its_certificate_is_old(
    monkeypatch: pytest.MonkeyPatch, url: str, age_seconds: float, is_given: bool
) -> None:
    connections = Connections(
        allow_private=False, connect_timeout_seconds=1.0, tls_context=ssl.create_default_context(), resolver=Names()
    )
    connection = FinishedHandshake(age_seconds)
    connections.keep_session(parse_url("https://a.example"), connection)
    assert resumed(monkeypatch, connections, url) == [connection.session if is_given else None]
