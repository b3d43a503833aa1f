"""Cookies of a chain of redirects go back to the host and path that set them, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.request_head import NO_COOKIES, Cookies
from provider.upstream.source import Headers
from provider.upstream.urls import parse_url


def set_by(url: str, *lines: str, before: Cookies = NO_COOKIES) -> Cookies:
    return before.after(parse_url(url), Headers([("Set-Cookie", line) for line in lines]))


def sent_to(cookies: Cookies, url: str) -> str:
    return cookies.text_for(parse_url(url))


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("a=1", "http://h.example/d/other", "a=1"),
        ("a=1", "http://h.example/elsewhere", ""),
        ("a=1", "http://h.example/dd", ""),
        ("a=1; Path=/", "http://h.example/elsewhere", "a=1"),
        ("a=1; path=/x", "http://h.example/x/y", "a=1"),
        ("a=1; Path=/x", "http://h.example/xy", ""),
        ("a=1; Path=x", "http://h.example/d/y", "a=1"),
        ("a=1; Path=/", "http://other.example/", ""),
        ("a=1; Path=/; Domain=example", "http://other.example/", ""),
        ("a=1; Path=/; Domain=h.example", "http://sub.h.example/", ""),
        ("a=1; Path=/", "https://h.example/", "a=1"),
        ("a=1; Path=/", "http://h.example:8080/", "a=1"),
        ("a=1; Path=/; Secure", "https://h.example/", ""),
        (' a = "1 2" ; Path=/', "http://h.example/", 'a="1 2"'),
        ("a=; Path=/", "http://h.example/", "a="),
        ("a; Path=/", "http://h.example/", ""),
        ("=1; Path=/", "http://h.example/", ""),
        ("a=1; Path=/; Max-Age=0", "http://h.example/", ""),
        ("a=1; Path=/; Max-Age=-5", "http://h.example/", ""),
        ("a=1; Path=/; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h.example/", "a=1"),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h.example/", ""),
        ("a=1; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "http://h.example/", "a=1"),
        ("a=1; Path=/; Expires=soon", "http://h.example/", "a=1"),
        ("a=1; Path=/; Max-Age=²", "http://h.example/", "a=1"),
        ("a=" + "x" * 5000 + "; Path=/", "http://h.example/", ""),
    ],
)
def test_where_a_cookie_goes(line: str, url: str, sent: str) -> None:
    assert sent_to(set_by("http://h.example/d/file", line), url) == sent


def test_a_secure_cookie_goes_over_tls_only() -> None:
    cookies = set_by("https://h.example/", "a=1; Secure")
    assert (sent_to(cookies, "https://h.example/"), sent_to(cookies, "http://h.example/")) == ("a=1", "")


def test_later_answers_replace_and_end_cookies() -> None:
    first = set_by("http://h.example/", "a=1", "b=2")
    second = set_by("http://h.example/", "a=3", "b=; Max-Age=0", "c=4", before=first)
    assert sent_to(second, "http://h.example/") == "a=3; c=4"
    assert sent_to(first, "http://h.example/") == "a=1; b=2"


def test_the_longest_path_comes_first() -> None:
    cookies = set_by("http://h.example/", "a=1; Path=/", "a=2; Path=/x/y", "b=3; Path=/x")
    assert sent_to(cookies, "http://h.example/x/y") == "a=2; b=3; a=1"


def test_a_chain_keeps_few_cookies() -> None:
    cookies = set_by("http://h.example/", *(f"c{number}=1" for number in range(1000)))
    assert len(cookies.kept) == 50


def test_too_much_for_a_head_is_not_sent() -> None:
    cookies = set_by("http://h.example/", *(f"c{number}={'x' * 4000}" for number in range(5)))
    assert sent_to(cookies, "http://h.example/") == ""


def test_nothing_of_a_cookie_is_in_its_repr() -> None:
    assert "planted" not in repr(set_by("http://planted.example/planted", "planted=planted"))


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=5))
def test_any_field_value_is_a_cookie_or_none(lines: list[str]) -> None:
    text = sent_to(set_by("http://h.example/", *lines), "http://h.example/")
    assert ";" not in text.replace("; ", "")
