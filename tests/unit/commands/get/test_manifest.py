"""Reading a Provider's manifest."""

import pytest

from provider.commands.get.failures import GetFailed, printable
from provider.commands.get.links import Reply, parse_manifest
from provider.commands.get.plan import Facts
from tests.support.recursion import recursion_of_a_server

BASE = "https://provider.example"
GOOD = {"index": 0, "url": f"{BASE}/d/token/x.csv", "name": "x.csv"}


def test_what_is_known_of_a_file() -> None:
    (file,) = parse_manifest(
        {"files": [{**GOOD, "length": 7, "etag": '"a"', "ranges": True, "sha256": "AB" * 32}]}, BASE
    )
    assert (file.name, file.sha256, file.facts) == ("x.csv", "ab" * 32, Facts(7, '"a"', has_ranges=True))
    assert "token" not in repr(file)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"length": None, "etag": None, "ranges": None, "sha256": None, "name": None},
        {"length": -1, "etag": 'W/"a"', "ranges": 1, "sha256": "ab", "name": 7},
        {"length": True, "etag": "a", "ranges": "yes", "sha256": 1},
        {"length": 1.5, "etag": 1},
        # It would be shown if the bytes have another one.
        {"sha256": "\x1b]0;" + "x" * 60},
    ],
)
def test_what_is_absent_or_wrong_is_unknown(fields: dict[str, object]) -> None:
    (file,) = parse_manifest({"files": [{**GOOD, **fields}]}, BASE)
    assert (file.facts, file.sha256) == (Facts(), None)


@pytest.mark.parametrize(
    ("url", "base", "full"),
    [
        ("/d/token/x", BASE, f"{BASE}/d/token/x"),
        ("https://cdn.example/d/token/x", BASE, "https://cdn.example/d/token/x"),
        ("http://10.0.0.1:8030/d/token/x", "http://10.0.0.1:8030", "http://10.0.0.1:8030/d/token/x"),
    ],
)
def test_a_link_may_be_of_another_host(url: str, base: str, full: str) -> None:
    assert parse_manifest({"files": [{**GOOD, "url": url}]}, base)[0].url == full


@pytest.mark.parametrize("url", ["http://provider.example/d/token/x", "file:///etc/passwd", "ftp://x/y", "//["])
def test_a_link_without_tls_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(GetFailed):
        parse_manifest({"files": [{**GOOD, "url": url}]}, BASE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"files": None},
        {"files": []},
        {"files": [1]},
        {"files": [{"index": 0}]},
        {"files": [{"url": "x"}]},
    ],
)
def test_anything_else_is_no_manifest(value: object) -> None:
    with pytest.raises(GetFailed):
        parse_manifest(value, BASE)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "No such file."}', "No such file."),
        (b'{"error": {"files": "not_found"}}', '{"files": "not_found"}'),
        (b'{"errors": {"did": ["required"]}}', '{"did": ["required"]}'),
        (b"<html>", "status 400"),
        (b"[]", "status 400"),
        (b"", "status 400"),
        (b'{"error": "a\\n\\u001b[2Jb\\u202e"}', "a [2Jb"),
    ],
)
def test_the_reason_of_a_refusal(body: bytes, text: str) -> None:
    assert Reply(400, {}, body).reason() == text


def test_a_reason_that_is_nested_too_deeply_is_its_status() -> None:
    with recursion_of_a_server():
        assert Reply(400, {}, b'{"error": ' + b"[" * 1000 + b"]" * 1000 + b"}").reason() == "status 400"


def test_a_long_text_is_cut() -> None:
    assert len(printable("x" * 10_000)) < 400
