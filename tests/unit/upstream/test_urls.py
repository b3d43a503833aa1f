"""URLs become targets, or are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UnsafeAddress
from provider.upstream.urls import MAX_URL_CHARS, join_location, parse_url

TARGETS = {
    "http://example.com": ("http", "example.com", 80, "/"),
    "https://example.com/a/b?c=d#e": ("https", "example.com", 443, "/a/b?c=d"),
    "HTTPS://EXAMPLE.com:8443/": ("https", "example.com", 8443, "/"),
    "  http://example.com/padded\n": ("http", "example.com", 80, "/padded"),
    "http://example.com:/": ("http", "example.com", 80, "/"),
    "http://example.com?q=1": ("http", "example.com", 80, "/?q=1"),
    "http://user:pw@example.com/x": ("http", "example.com", 80, "/x"),
    "http://[::1]:8080/x": ("http", "::1", 8080, "/x"),
    "http://[2606:4700:0:0::1111]/": ("http", "2606:4700::1111", 80, "/"),
    "http://a b@example.com/": ("http", "example.com", 80, "/"),
    "http://example.com/a b": ("http", "example.com", 80, "/a%20b"),
    "http://example.com/%41%zz": ("http", "example.com", 80, "/%41%25zz"),
    "http://example.com/é?ü=ß": ("http", "example.com", 80, "/%C3%A9?%C3%BC=%C3%9F"),
    "http://example.com/a\\b": ("http", "example.com", 80, "/a%5Cb"),
    'http://example.com/"<>^`{|}': ("http", "example.com", 80, "/%22%3C%3E%5E%60%7B%7C%7D"),
    "http://bücher.example/": ("http", "xn--bcher-kva.example", 80, "/"),
    "http://１２７.０.０.１/": ("http", "127.0.0.1", 80, "/"),
    "http://127。0。0。1/": ("http", "127.0.0.1", 80, "/"),
    "http://0x7f000001/": ("http", "0x7f000001", 80, "/"),
    "http://example.com./": ("http", "example.com.", 80, "/"),
    "http://under_score.example/": ("http", "under_score.example", 80, "/"),
    "http://example.com:65535/": ("http", "example.com", 65535, "/"),
}

UNSAFE = [
    "",
    "example.com/x",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "http:/example.com",
    "http:///x",
    "http://",
    "http://:80/",
    "http://user@/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:８０/",
    "http://example.com:80:80/",
    "http://example.com:99999999999999999999/",
    "http://exam ple.com/",
    "http://example.com\\@evil.example/",
    "http://exa%6dple.com/",
    "http://example.com/a\r\nHost: evil",
    "http://example.com/a\tb",
    "http://example.com/\x00",
    "http://exa\nmple.com/",
    "http://[::1/",
    "http://[::1]x/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://::1/",
    "http://a..b/",
    "http://.example.com/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 127 + "example/",
    "http://ex*mple.com/",
    "http://example.com/" + "a" * MAX_URL_CHARS,
    "http://example.com/\ud800",
    "http://\ud800.example/",
    "http://\ud800:x@example.com/",
]


@pytest.mark.parametrize(("url", "expected"), list(TARGETS.items()), ids=[ascii(url) for url in TARGETS])
def test_urls_become_targets(url: str, expected: tuple[str, str, int, str]) -> None:
    target = parse_url(url)
    assert (*target.origin, target.request_target) == expected


@pytest.mark.parametrize("url", UNSAFE, ids=[ascii(url)[:50] for url in UNSAFE])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        parse_url(url)


@given(st.text())
def test_a_refusal_never_shows_the_url(tail: str) -> None:
    target = refusal = None
    try:
        target = parse_url("http://secret-host.example" + tail)
    except UnsafeAddress as error:
        refusal = f"{error!r} {error} {error.detail}"
    assert "secret" not in f"{target!r} {refusal}"


@given(st.text())
def test_a_request_line_cannot_be_injected_into(tail: str) -> None:
    try:
        line = parse_url("http://a.example/" + tail).request_target
    except UnsafeAddress:
        return
    assert line.isascii()
    assert line.isprintable()
    assert " " not in line


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("http://example.com/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("https://example.com:80/", "example.com:80"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:81/", "[::1]:81"),
    ],
)
def test_host_field_leaves_out_the_standard_port(url: str, field: str) -> None:
    assert parse_url(url).host_field == field


@pytest.mark.parametrize(
    ("userinfo", "credential"),
    [
        ("user:pw", "Basic dXNlcjpwdw=="),
        ("us%65r:p%40w", "Basic dXNlcjpwQHc="),
        ("user", "Basic dXNlcjo="),
        ("user:p:w", "Basic dXNlcjpwOnc="),
    ],
)
def test_userinfo_becomes_basic_authorization(userinfo: str, credential: str) -> None:
    assert parse_url(f"http://{userinfo}@example.com/").authorization == credential


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/new", "http://a.example:81/new"),
        ("new", "http://a.example:81/dir/new"),
        ("?x=1", "http://a.example:81/dir/old?x=1"),
        ("//b.example/", "http://b.example/"),
        ("https://b.example/x", "https://b.example/x"),
        ("../up", "http://a.example:81/up"),
        ("/caf\u00c3\u00a9", "http://a.example:81/café"),
        ("/caf\u00e9", "http://a.example:81/café"),
    ],
)
def test_locations_are_joined_to_the_url_that_sent_them(location: str, url: str) -> None:
    assert join_location(parse_url("http://a.example:81/dir/old"), location) == url


@pytest.mark.parametrize("location", ["/a\tb", "/a\x00b", "http://[bad/"])
def test_a_location_that_is_no_url_is_refused(location: str) -> None:
    with pytest.raises(UnsafeAddress):
        join_location(parse_url("http://a.example/"), location)
