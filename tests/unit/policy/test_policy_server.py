"""The questions to a policy server, and the part of its refusal that a consumer reads."""

import orjson
import pytest

from provider.errors import ValidationFailed
from provider.outgoing.client import ServiceReply
from provider.policy.policy_server import MAX_SHOWN_CHARS, passed_on, refusal_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        ('{"sessionId":"a"}', b'{"sessionId":"a"}'),
        ({"sessionId": "a"}, b'{"sessionId":"a"}'),
        ("plain words", b'"plain words"'),
        ("", b'""'),
        (["a"], b'["a"]'),
    ],
    ids=str,
)
def test_data_of_the_request_is_passed_on(value: object, expected: bytes) -> None:
    assert orjson.dumps(passed_on(value)) == expected


def test_text_of_too_many_values_is_passed_on_unread() -> None:
    """While a parser makes them, no thread runs."""
    text = "[" + "[]," * 100_000 + "[]]"
    assert orjson.loads(orjson.dumps(passed_on(text))) == text


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, {"number": 2**70}], ids=["deep", "long integer"])
def test_data_that_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(ValidationFailed):
        passed_on(value)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"Present your passport first.", "text/plain", "Present your passport first."),
        (b'{"message": "no", "success": false}', "application/json", "no"),
        (b'{"error": "not you"}', "application/json", "not you"),
        (b'"no"', "application/json", "no"),
        (b"two\r\nlines\x00\x1b[31m", "text/plain", "two lines [31m"),
        (b"see https://internal.example/path?key=1 please", "text/plain", "see (not shown) please"),
        (b"openid4vc://x", "text/plain", "(not shown)"),
        (b"", "text/plain", None),
        (b" \n ", "text/plain", None),
        (b"false", "application/json", None),
        (b'{"message": {"deep": 1}}', "application/json", None),
        (b"{broken", "application/json", None),
        (b"<html><h1>Traceback</h1></html>", "text/html", None),
        (b"a\xff", "text/plain", "a\ufffd"),
    ],
    ids=str,
)
def test_refusal_is_shown_safely(body: bytes, content_type: str, expected: str | None) -> None:
    assert refusal_text(ServiceReply(403, content_type, body)) == expected


def test_long_refusal_is_cut() -> None:
    assert refusal_text(ServiceReply(403, "text/plain", b"x" * 60_000)) == "x" * MAX_SHOWN_CHARS
