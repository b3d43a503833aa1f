"""What goes out to an origin, and what follows a redirect."""

import pytest

from provider import USER_AGENT
from provider.errors import FileObjectInvalid, UnsafeAddress, UpstreamError
from provider.upstream.request_head import encode_request, is_redirect, redirected
from provider.upstream.source import HttpRequest
from provider.upstream.urls import parse_url


def sent(request: HttpRequest) -> tuple[str, dict[str, str], bytes]:
    payload = encode_request(request, parse_url(request.url))
    head, _, body = payload.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_a_request_has_host_first_and_asks_for_identity() -> None:
    payload = encode_request(HttpRequest("GET", "http://example.com/a?b"), parse_url("http://example.com/a?b"))
    assert payload == (
        b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept-Encoding: identity\r\n"
        b"User-Agent: " + USER_AGENT.encode() + b"\r\nAccept: */*\r\n\r\n"
    )


def test_headers_of_the_file_object_reach_the_origin_except_ours() -> None:
    _, fields, _ = sent(
        HttpRequest(
            "GET",
            "http://example.com/",
            (
                ("X-Api-Key", "k"),
                ("host", "evil"),
                ("Transfer-Encoding", "chunked"),
                ("accept-encoding", "gzip"),
                ("Content-Length", "5"),
                ("Connection", "close"),
                ("user-agent", "mine"),
                ("Accept", "text/csv"),
            ),
        )
    )
    assert fields == {
        "Host": "example.com",
        "Accept-Encoding": "identity",
        "X-Api-Key": "k",
        "user-agent": "mine",
        "Accept": "text/csv",
    }


def test_a_body_is_sent_with_its_length() -> None:
    first, fields, body = sent(HttpRequest("POST", "http://example.com/", (("Content-Type", "text/plain"),), b"hello"))
    assert first == "POST / HTTP/1.1"
    assert (fields["Content-Length"], body) == ("5", b"hello")


def test_userinfo_is_sent_unless_the_file_object_has_authorization() -> None:
    _, fields, _ = sent(HttpRequest("GET", "http://u:p@example.com/"))
    assert fields["Authorization"] == "Basic dTpw"
    _, fields, _ = sent(HttpRequest("GET", "http://u:p@example.com/", (("authorization", "Bearer t"),)))
    assert fields["authorization"] == "Bearer t"
    assert "Authorization" not in fields


def test_a_value_outside_latin_1_is_sent_as_utf_8() -> None:
    _, fields, _ = sent(HttpRequest("GET", "http://example.com/", (("X-Name", "€"),)))
    assert fields["X-Name"].encode("latin-1").decode() == "€"


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("GET /evil HTTP/1.1\r\nX:", "A", "b"),
        ("", "A", "b"),
        ("GET", "", "b"),
        ("GET", "A b", "c"),
        ("GET", "A:b", "c"),
        ("GET", "A\r\nB", "c"),
        ("GET", "Ä", "c"),
        ("GET", "A", "b\r\nC: d"),
        ("GET", "A", "b\nC: d"),
        ("GET", "A", "b\rC"),
        ("GET", "A", "b\x00"),
        ("GET", "A", "b\x7f"),
    ],
)
def test_a_request_cannot_be_injected_into(method: str, name: str, value: str) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        sent(HttpRequest(method, "http://example.com/", ((name, value),)))
    assert "b" + value not in str(caught.value.detail)


SECRETS = (("Authorization", "t"), ("Cookie", "c"), ("X-Api-Key", "k"), ("Range", "bytes=0-1"), ("Accept", "a/b"))


def follow(
    url: str, location: str, *, method: str = "GET", status: int = 302, body: bytes | None = None
) -> HttpRequest:
    request = HttpRequest(method, url, SECRETS, body)
    return redirected(request, parse_url(url), status=status, location=location)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://a.example/x", "/y"),
        ("http://a.example/x", "http://A.example:80/y"),
        ("http://a.example/x", "https://a.example/y"),
        ("https://a.example:8443/x", "https://a.example:8443/y"),
    ],
)
def test_the_same_origin_gets_all_headers_again(url: str, location: str) -> None:
    assert follow(url, location).headers == SECRETS


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://a.example/x", "http://b.example/y"),
        ("http://a.example/x", "//b.example/y"),
        ("http://a.example/x", "http://a.example:8080/y"),
        ("http://a.example:8080/x", "https://a.example:8443/y"),
        ("https://a.example/x", "http://a.example/y"),
        ("http://a.example/x", "http://sub.a.example/y"),
    ],
)
def test_another_origin_gets_no_secrets(url: str, location: str) -> None:
    assert follow(url, location).headers == (("Range", "bytes=0-1"), ("Accept", "a/b"))


def test_userinfo_follows_to_the_same_origin_only() -> None:
    request = HttpRequest("GET", "http://u:p@a.example/x")
    target = parse_url(request.url)
    same = redirected(request, target, status=302, location="/y")
    assert same.headers == (("Authorization", "Basic dTpw"),)
    assert "u:p" not in same.url
    other = redirected(request, target, status=302, location="http://b.example/y")
    assert other.headers == ()


@pytest.mark.parametrize(
    ("method", "status", "expected_method", "keeps_body"),
    [
        ("GET", 301, "GET", False),
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("POST", 303, "GET", False),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
        ("HEAD", 303, "HEAD", False),
    ],
)
def test_method_and_body_after_a_redirect(method: str, status: int, expected_method: str, keeps_body: bool) -> None:
    following = follow(
        "http://a.example/x", "/y", method=method, status=status, body=b"b" if method == "POST" else None
    )
    assert following.method == expected_method
    assert following.body == (b"b" if keeps_body else None)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a.example/", "http://[x/", "javascript:1"])
def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    with pytest.raises(UnsafeAddress):
        follow("http://a.example/x", location)


def test_an_empty_location_is_refused() -> None:
    with pytest.raises(UpstreamError):
        follow("http://a.example/x", " ")


def test_only_five_statuses_redirect() -> None:
    assert [status for status in range(300, 400) if is_redirect(status)] == [301, 302, 303, 307, 308]


def test_nothing_secret_is_in_the_repr_of_a_request() -> None:
    text = repr(HttpRequest("GET", "http://a.example/secret", (("X-Api-Key", "secret"),), b"secret"))
    assert "secret" not in text
    assert "example" not in text
