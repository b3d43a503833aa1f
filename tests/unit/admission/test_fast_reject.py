"""Which heads a prepared refusal fits: never more or less than one request, of the one kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.admission import fast_reject as at_once
from provider.admission.fast_reject import is_plain_download
from provider.http1.heads import parse_plain_head

LINE = b"GET /api/services/download?a=1 HTTP/1.1"
PLAIN = LINE + b"\r\nHost: x\r\n\r\n"
BARE = LINE + b"\nHost: x\n\n"
HEADS = [
    *(PLAIN, BARE, LINE + b"\r\nHost: x\nA: b\r\n\r\n", LINE + b"\r\nHost: x\rA: b\r\n\r\n"),
    *(b"GET /api/services/download?a\nb HTTP/1.1", b"GET /api/services/download?a\rb HTTP/1.1\r\nHost: x\r\n\r\n"),
]
PIECES = [
    *HEADS,
    LINE,
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: x",
    b"X: y",
    b"Connection: keep-alive",
    b"Content-Length: 1",
    b" ",
]


def test_a_download_as_clients_send_it_is_plain() -> None:
    assert is_plain_download(PLAIN)
    assert is_plain_download(PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n"))


@pytest.mark.parametrize("name", [b"Authorization", b"AUTHTOKEN"])
def test_header_fields_that_tell_who_asks_are_plain_but_not_kept(name: bytes) -> None:
    before = at_once._are_plain.cache_info().currsize
    assert is_plain_download(LINE + b"\r\nHost: kept nowhere\r\n" + name + b": Bearer x\r\n\r\n")
    assert at_once._are_plain.cache_info().currsize == before


@pytest.mark.parametrize("before", HEADS)
def test_a_download_after_anything_else_is_not(before: bytes) -> None:
    assert not is_plain_download(before + PLAIN)


@pytest.mark.parametrize(
    "field", ["Content-Length: 1", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: h2c", "Origin: x",
              "X-Request-ID: a", "Connection: close"],
)  # fmt: skip
def test_what_the_answer_depends_on_is_not_plain(field: str) -> None:
    assert not is_plain_download(PLAIN.replace(b"\r\n\r\n", f"\r\n{field}\r\n\r\n".encode()))


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join), st.booleans())
def test_what_is_plain_is_one_whole_request_in_lines_of_crlf(data: bytes, is_begun: bool) -> None:
    if is_begun:
        data = PLAIN[:-2] + data
    if is_plain_download(data):
        assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
        assert data.find(b"\r\n\r\n") == len(data) - 4
        parsed = parse_plain_head(data)
        assert parsed is None or parsed[0].path.startswith("/api/services/download?")
