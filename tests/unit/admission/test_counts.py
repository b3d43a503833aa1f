"""Connections, bodies, and which requests have a prepared answer."""

import pytest

from provider.admission.bodies import SMALL_BYTES, Bodies, HeldBody
from provider.admission.connections import Connections, fitting_connections
from provider.admission.fast_reject import Answer, is_plain_download

PLAIN = b"GET /api/services/download?a=1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"


def test_connections_are_counted_in_all_and_for_each_client() -> None:
    counted = Connections(max_all=3, max_per_client=2)
    assert counted.take(b"a")
    assert counted.take(b"a")
    assert not counted.take(b"a")
    assert counted.take(None)
    assert not counted.take(b"b")
    counted.give_back(b"a")
    assert counted.take(b"b")
    assert counted.open == 3


def test_unlimited_connections_hold_nothing() -> None:
    counted = Connections()
    assert all(counted.take(b"a") for _ in range(1000))


def test_each_connection_may_have_an_origin_besides() -> None:
    assert fitting_connections(20_000) * 2 < 20_000
    assert fitting_connections(64) >= 16


def test_bodies_are_counted_together() -> None:
    bodies = Bodies(max_bytes=10)
    one, other = HeldBody(bodies), HeldBody(bodies)
    assert one.resize(6)
    assert not other.resize(5)
    assert bodies.held_bytes == 6
    assert one.resize(2)
    assert other.resize(8)
    assert not one.resize(3)
    assert one.resize(0)
    assert other.resize(0)
    assert bodies.held_bytes == 0


def test_long_bodies_leave_room_for_short_ones() -> None:
    bodies = Bodies(max_bytes=16 * SMALL_BYTES)
    long = [HeldBody(bodies) for _ in range(4)]
    assert [one.resize(4 * SMALL_BYTES) for one in long] == [True, True, True, True]
    assert not long[0].resize(5 * SMALL_BYTES)
    assert all(one.resize(0) for one in long)
    long = [HeldBody(bodies) for _ in range(3)]
    assert [one.resize(5 * SMALL_BYTES) for one in long] == [True, True, True]
    assert not HeldBody(bodies).resize(2 * SMALL_BYTES)
    assert HeldBody(bodies).resize(SMALL_BYTES)


def test_a_client_may_hold_a_part_only() -> None:
    bodies = Bodies(max_bytes=10)
    first, second, other, nobody = (HeldBody(bodies) for _ in range(4))
    first.client = second.client = b"a"
    other.client = b"b"
    assert first.resize(3)
    assert not second.resize(3)
    assert second.resize(2)
    assert other.resize(4)
    assert nobody.resize(1)
    assert first.resize(0)
    assert second.resize(5)
    for held in (second, other, nobody):
        assert held.resize(0)
    assert (bodies.held_bytes, bodies._by_client) == (0, {})


def test_without_a_limit_any_body_is_held() -> None:
    bodies = Bodies()
    assert HeldBody(bodies).resize(1 << 40)


@pytest.mark.parametrize("head", [PLAIN, PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")])
def test_a_plain_download_has_a_prepared_answer(head: bytes) -> None:
    assert is_plain_download(head)


@pytest.mark.parametrize(
    "head",
    [
        PLAIN[:-1],
        PLAIN + PLAIN,
        PLAIN + b"x",
        PLAIN.replace(b"GET", b"PUT"),
        PLAIN.replace(b"download?", b"downloads?"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Host: x\r\n", b""),
        PLAIN.replace(b"a=1", b"a=\xff"),
        PLAIN.replace(b"Accept: */*\r\n", b"Accept: */*\n"),
        PLAIN.replace(b"Accept: */*\r\n", b"\nAccept: */*\r\n"),
        PLAIN.replace(b"Accept: */*", b"Origin: https://market.example"),
        PLAIN.replace(b"Accept: */*", b"X-Request-ID: abc"),
        PLAIN.replace(b"Accept: */*", b"Connection: close"),
        PLAIN.replace(b"Accept: */*", b"CONTENT-LENGTH : 5"),
        PLAIN.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Accept: */*", b"Expect: 100-continue"),
    ],
)
def test_everything_else_goes_the_ordinary_way(head: bytes) -> None:
    assert not is_plain_download(head)


def test_prepared_answers_differ_by_their_request_id() -> None:
    answer = Answer(status=503, reason="Service Unavailable", retry_after_seconds=1, body=b"{}\n")
    first, second = bytes(answer), bytes(answer)
    assert first != second
    assert first.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert first.endswith(b"\r\n\r\n{}\n")
    assert b"\r\nRetry-After: 1\r\n" in first
    assert b"\r\nContent-Length: 3\r\n" in first
