"""The reader of all replies and logs sees a secret in every form in which one could slip out."""

import socket
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import raw_http
from tests.support.witness import Witness

SIGNATURE = "0x" + "Ab" * 64 + "1c"
URL = "http://origin.example:8080/planted/data.csv?key=1"
HEADER = "Basic dXNlcjpwYXNz"
ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPx"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


@pytest.fixture
def witness() -> Witness:
    planted = Witness()
    planted.plant_hex(SIGNATURE)
    planted.plant_hex("11" * 32)
    planted.plant_files([{"type": "url", "url": URL}, {"type": "url", "url": "http://origin.example"}])
    planted.plant_files([{"type": "url", "url": "http://origin.example", "headers": {"Authorization": HEADER}}])
    planted.plant_files(
        [{"type": "s3", "s3Access": {"secretAccessKey": ACCESS_KEY, "bucket": "short", "more": [True]}}]
    )
    planted.tokens.add(TOKEN.encode())
    return planted


@pytest.mark.parametrize(
    "text",
    [
        f'{{"error":"Invalid signature {SIGNATURE}"}}',
        SIGNATURE.upper(),
        SIGNATURE[2:-2],
        "key=0x" + "11" * 32,
        f"cannot fetch {URL}",
        f"next={quote(URL, safe='')}",
        URL.replace("/", "\\/"),
        f"Location: {URL}&more=1",
        f"AuthToken: {TOKEN}",
        "X-Secret: planted-Zz9",
        f"refused with {HEADER}",
        f"refused with {quote(HEADER)}",
        f"key={ACCESS_KEY};",
        ACCESS_KEY.replace("/", "\\/"),
        quote(ACCESS_KEY, safe=""),
    ],
)
def test_secret_is_seen(witness: Witness, text: str) -> None:
    witness.look(text.encode(), "a reply")
    assert len(witness.found) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "short",
        "Authorization",
        "secretAccessKey",
        "http://origin.example/",
        "ab" * 32,
        "22" * 65,
        "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjJ9.c2lnbmF0dXJl",
    ],
)
def test_everything_else_is_passed_over(witness: Witness, text: str) -> None:
    witness.look(text.encode(), "a reply")
    assert witness.found == []


REPLY = b"HTTP/1.1 %d X\r\nX-Request-ID: 1\r\nServer: %s\r\n\r\n%s"


@pytest.mark.parametrize(
    ("received", "count"),
    [
        (REPLY % (400, b"", HEADER.encode()), 1),
        (REPLY % (200, HEADER.encode(), b""), 1),
        (REPLY % (200, b"", b"{}") + REPLY % (200, b"", URL.encode()), 1),
        (REPLY % (200, b"", URL.encode()) + REPLY % (503, b"planted-Zz9", ACCESS_KEY.encode()), 3),
        (b"HTTP/1.1 100 (Continue)\r\n\r\n" + REPLY % (400, b"", b"planted-Zz9"), 1),
        (REPLY % (200, b"", b"planted-Zz9"), 0),
        (b"HTTP/1.1 200 OK\r\n\r\n" + URL.encode(), 0),
        (URL.encode(), 0),
        (b"", 0),
    ],
    ids=["body", "head", "second reply", "several", "after 100", "body of a file", "of another", "no reply", "nothing"],
)
def test_replies_on_a_socket_are_read(
    witness: Witness, monkeypatch: pytest.MonkeyPatch, received: bytes, count: int
) -> None:
    monkeypatch.setattr(raw_http, "witness", witness)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(received)
        assert raw_http.read_to_end(ours) == received
    assert len(witness.found) == count


def test_what_a_test_publishes_is_planted_in_any_shape(witness: Witness) -> None:
    shapes: list[dict[str, Any]] = [{"headers": None}, {"headers": "x" * 9}, {"s3Access": [["y" * 9]]}, {"headers": 5}]
    witness.plant_files(shapes)
    assert {b"x" * 9, b"y" * 9} < witness.values
