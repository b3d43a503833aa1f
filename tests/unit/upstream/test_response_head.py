"""Heads of responses are read strictly; hostile ones are UpstreamErrors and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UpstreamError
from provider.upstream.response_head import MAX_FIELDS, find_head_end, parse_head

OK = b"HTTP/1.1 200 OK\r\n"


def head(*lines: bytes, status_line: bytes = OK) -> bytes:
    return status_line + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


FRAMINGS = {
    "length": (head(b"Content-Length: 5"), "GET", ("length", 5, True)),
    "zero length": (head(b"content-length:0"), "GET", ("length", 0, True)),
    "equal lengths": (head(b"Content-Length: 5", b"Content-Length: 5"), "GET", ("length", 5, True)),
    "equal lengths in a list": (head(b"Content-Length: 5, 5"), "GET", ("length", 5, True)),
    "largest length": (head(b"Content-Length: 9223372036854775807"), "GET", ("length", 2**63 - 1, True)),
    "chunked": (head(b"Transfer-Encoding: Chunked"), "GET", ("chunked", None, True)),
    "close": (head(), "GET", ("close", None, False)),
    "length but closing": (head(b"Content-Length: 5", b"Connection: keep-alive, Close"), "GET", ("length", 5, False)),
    "1.0": (head(b"Content-Length: 5", status_line=b"HTTP/1.0 200 OK\r\n"), "GET", ("length", 5, False)),
    "1.0 keep-alive": (
        head(b"Content-Length: 5", b"Connection: Keep-Alive", status_line=b"HTTP/1.0 200 OK\r\n"),
        "GET",
        ("length", 5, True),
    ),
    "HEAD": (head(b"Content-Length: 5"), "HEAD", ("length", 0, True)),
    "204": (head(status_line=b"HTTP/1.1 204 No Content\r\n"), "GET", ("length", 0, True)),
    "304": (head(b"Content-Length: 5", status_line=b"HTTP/1.1 304 Not Modified\r\n"), "GET", ("length", 0, True)),
    "interim": (head(status_line=b"HTTP/1.1 103 Early Hints\r\n"), "GET", ("length", 0, True)),
    "no reason": (head(b"Content-Length: 5", status_line=b"HTTP/1.1 200\r\n"), "GET", ("length", 5, True)),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\n", "GET", ("length", 5, True)),
    "obs-text": (head(b"X: caf\xe9", b"Content-Length: 5"), "GET", ("length", 5, True)),
}

REFUSED = {
    "empty": b"\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": head(status_line=b"HTTP/2 200 OK\r\n"),
    "HTTP/0.9": head(status_line=b"HTTP/0.9 200 OK\r\n"),
    "HTTP/1.2": head(status_line=b"HTTP/1.2 200 OK\r\n"),
    "lower case": head(status_line=b"http/1.1 200 OK\r\n"),
    "ICY": head(status_line=b"ICY 200 OK\r\n"),
    "status of two digits": head(status_line=b"HTTP/1.1 20 OK\r\n"),
    "status of four digits": head(status_line=b"HTTP/1.1 2000 OK\r\n"),
    "status 000": head(status_line=b"HTTP/1.1 000 OK\r\n"),
    "status 600": head(status_line=b"HTTP/1.1 600 OK\r\n"),
    "negative status": head(status_line=b"HTTP/1.1 -20 OK\r\n"),
    "two spaces": head(status_line=b"HTTP/1.1  200 OK\r\n"),
    "control in the reason": head(status_line=b"HTTP/1.1 200 O\x00K\r\n"),
    "CR in the reason": head(status_line=b"HTTP/1.1 200 O\rK\r\n"),
    "folded length": head(b"Content-Length:", b" 5"),
    "folded coding": head(b"Transfer-Encoding: chunked", b"\t"),
    "length folded away": head(b"X: a", b" Content-Length: 5"),
    "folded first line": head(b"\tX: a"),
    "length without a colon": head(b"Content-Length 5"),
    "control before the length": head(b"\x00Content-Length: 5"),
    "control after the length's name": head(b"Content-Length\x0b: 5"),
    "next line after the length's name": head(b"Content-Length\x85: 5"),
    "NUL in a length": head(b"Content-Length: 5\x00"),
    "next line in a length": head(b"Content-Length:\x855"),
    "length behind a CR": head(b"X: a\rContent-Length: 5"),
    "control in a coding": head(b"Content-Encoding: gz\x00ip"),
    "control in a range": head(b"Content-Range: bytes 0-1/2\x07"),
    "control in Connection": head(b"connection: close\x01"),
    "length and chunks": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "two lengths": head(b"Content-Length: 5", b"Content-Length: 6"),
    "two lengths in a list": head(b"Content-Length: 5, 6"),
    "negative length": head(b"Content-Length: -5"),
    "signed length": head(b"Content-Length: +5"),
    "hex length": head(b"Content-Length: 0x5"),
    "length with a blank": head(b"Content-Length: 5 5"),
    "length with underscore": head(b"Content-Length: 1_0"),
    "length in other digits": head("Content-Length: ５".encode()),
    "empty length": head(b"Content-Length:"),
    "huge length": head(b"Content-Length: 9223372036854775808"),
    "endless length": head(b"Content-Length: " + b"9" * 5000),
    "gzip transfer coding": head(b"Transfer-Encoding: gzip, chunked"),
    "chunked twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked hidden": head(b"Transfer-Encoding: \x0bchunked"),
    "identity": head(b"Transfer-Encoding: identity"),
    "chunks in 1.0": head(b"Transfer-Encoding: chunked", status_line=b"HTTP/1.0 200 OK\r\n"),
    "other length after many fields": head(b"Content-Length: 5", *[b"X: a"] * MAX_FIELDS, b"Content-Length: 6"),
    "too many deciding fields": head(*[b"Connection: a"] * (2 * MAX_FIELDS + 1)),
}


DROPPED = {
    "no colon": b"X a",
    "no name": b": a",
    "blank in a name": b"Bad Name: 1",
    "name not ASCII": b"X\xe9: a",
    "NUL in a value": b"X: a\x00b",
    "control in a cookie": b"Set-Cookie: a=\x01",
    "CR in a value": b"X: a\rSet-Cookie: b",
    "DEL in a value": b"X: a\x7f",
    "a name that begins as a deciding one": b"Content-Length-Before\x00: 7",
}


@pytest.mark.parametrize("line", list(DROPPED.values()), ids=list(DROPPED))
def test_a_malformed_line_that_decides_nothing_is_dropped(line: bytes) -> None:
    parsed = parse_head(head(b'ETag: "a"', line, b"Content-Length: 5"), method="GET")
    assert list(parsed.headers) == [("ETag", '"a"'), ("Content-Length", "5")]
    assert (parsed.framing, parsed.length_bytes) == ("length", 5)


@pytest.mark.parametrize("line", list(DROPPED.values()), ids=list(DROPPED))
def test_the_connection_of_a_malformed_head_serves_no_other_request(line: bytes) -> None:
    assert not parse_head(head(line, b"Content-Length: 5"), method="GET").keep_alive


def test_white_space_before_the_colon_is_removed() -> None:
    parsed = parse_head(head(b"Content-Length \t: 5", b'ETag : "a"'), method="GET")
    assert list(parsed.headers) == [("Content-Length", "5"), ("ETag", '"a"')]
    assert (parsed.length_bytes, parsed.keep_alive) == (5, True)


def test_a_folded_line_continues_the_one_before() -> None:
    parsed = parse_head(head(b"X: a", b"\t  b", b" c ", b"Content-Length: 5"), method="GET")
    assert list(parsed.headers) == [("X", "a b c"), ("Content-Length", "5")]


def test_of_many_fields_the_first_and_the_deciding_ones_count() -> None:
    parsed = parse_head(head(*[b"X: a"] * (MAX_FIELDS + 1), b"Content-Length: 5"), method="GET")
    assert len(list(parsed.headers)) == MAX_FIELDS + 1
    assert (parsed.length_bytes, parsed.keep_alive) == (5, False)


@pytest.mark.parametrize(("data", "method", "expected"), list(FRAMINGS.values()), ids=list(FRAMINGS))
def test_framing_follows_rfc_9112(data: bytes, method: str, expected: tuple[str, int | None, bool]) -> None:
    parsed = parse_head(data, method=method)
    assert (parsed.framing, parsed.length_bytes, parsed.keep_alive) == expected


@pytest.mark.parametrize("data", list(REFUSED.values()), ids=list(REFUSED))
def test_a_bad_head_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_head(data, method="GET")


def test_fields_are_found_without_regard_to_case_and_joined() -> None:
    headers = parse_head(head(b'ETag: "a"', b"Vary:  a \t", b"vary:b,, C"), method="GET").headers
    assert headers.get("etag") == '"a"'
    assert headers.get("VARY") == "a, b,, C"
    assert headers.get_all("Vary") == ["a", "b,, C"]
    assert headers.tokens("Vary") == ["a", "b", "c"]
    assert headers.get("Server") is None
    assert "etag" in headers
    assert [name for name, _ in headers] == ["ETag", "Vary", "vary"]


def test_the_repr_of_headers_shows_no_value() -> None:
    assert "secret" not in repr(parse_head(head(b"Set-Cookie: secret"), method="GET"))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_an_upstream_error(data: bytes) -> None:
    for candidate in (data, OK + data + b"\r\n\r\n"):
        try:
            parsed = parse_head(candidate, method="GET")
        except UpstreamError:
            continue
        assert 100 <= parsed.status <= 599
        assert all("\n" not in name + value and "\r" not in name + value for name, value in parsed.headers)


@given(st.binary(max_size=60), st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"]))
def test_the_end_is_found_at_the_same_place_one_byte_at_a_time(rest: bytes, end: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\nX: a" + end + rest
    expected = len(data) - len(rest)
    assert find_head_end(data) == expected
    received = bytearray()
    for byte in data:
        looked_at = len(received)
        received.append(byte)
        found = find_head_end(received, looked_at)
        if found >= 0:
            assert (found, len(received)) == (expected, expected)
            return
    raise AssertionError("the end was not found")
