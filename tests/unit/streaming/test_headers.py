"""Which of the origin's headers reach the consumer, and what is ours."""

from dataclasses import dataclass, field

import pytest

from provider.streaming.headers import file_name, reply_headers
from provider.upstream.source import Headers


@dataclass
class FakeSource:
    status: int = 200
    headers: Headers = field(default_factory=Headers)
    length_bytes: int | None = None
    unchanged: bool = True


def replied(name: str = "data.csv", **of_source) -> dict[str, str]:
    fields = of_source.pop("fields", {})
    return dict(reply_headers(FakeSource(headers=Headers(fields.items()), **of_source), name=name))


def test_length_range_and_validators_of_an_unchanged_body_pass() -> None:
    fields = {
        "Content-Type": "text/csv",
        "Content-Range": "bytes 0-4/10",
        "Accept-Ranges": "bytes",
        "ETag": '"a"',
        "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
        "Content-Encoding": "br",
    }
    assert replied(status=206, length_bytes=5, fields=fields) == fields | {
        "Content-Length": "5",
        "Content-Disposition": "attachment;filename=data.csv",
        "Access-Control-Expose-Headers": "Content-Disposition, Content-Range, Accept-Ranges, ETag",
    }


def test_a_decoded_body_keeps_neither_length_nor_validators() -> None:
    fields = {"Content-Encoding": "gzip", "ETag": '"a"', "Accept-Ranges": "bytes", "Content-Length": "9"}
    assert replied(unchanged=False, fields=fields) == {
        "Content-Type": "text/csv",
        "Content-Disposition": "attachment;filename=data.csv",
        "Access-Control-Expose-Headers": "Content-Disposition",
    }


@pytest.mark.parametrize("name", ["Set-Cookie", "Location", "Server", "Connection", "Transfer-Encoding", "Via", "Link"])
def test_anything_else_stays_with_the_origin(name: str) -> None:
    assert name not in replied(fields={name: "secret"})


@pytest.mark.parametrize(
    ("name", "stated", "expected"),
    [
        ("a.csv", "application/x-mine; v=1", "application/x-mine; v=1"),
        ("a.json", None, "application/json"),
        ("a", None, "text/html; charset=utf-8"),
    ],
)
def test_content_type_is_the_origins_else_guessed_else_the_old_default(name, stated, expected) -> None:
    assert replied(name, fields={"Content-Type": stated} if stated else {})["Content-Type"] == expected


def test_a_416_has_its_content_range_and_no_name() -> None:
    reply = replied(status=416, length_bytes=0, fields={"Content-Range": "bytes */10"})
    assert reply["Content-Range"] == "bytes */10"
    assert "Content-Disposition" not in reply


@pytest.mark.parametrize("stated", ["bytes 0-9/10", "bytes 5-0/10", "nonsense"])
def test_a_content_range_that_contradicts_the_length_does_not_pass(stated: str) -> None:
    assert "Content-Range" not in replied(status=206, length_bytes=5, fields={"Content-Range": stated})


def test_content_range_passes_only_with_a_part() -> None:
    assert "Content-Range" not in replied(status=200, length_bytes=5, fields={"Content-Range": "bytes 0-4/5"})


def test_a_reply_without_body_has_no_length() -> None:
    assert "Content-Length" not in replied(status=204, length_bytes=0)


def test_a_name_outside_ascii_goes_out_as_utf_8() -> None:
    value = replied("café.csv")["Content-Disposition"]
    assert value.encode("latin-1").decode() == "attachment;filename=café.csv"


@pytest.mark.parametrize(
    ("disposition", "url_path", "content_type", "expected"),
    [
        ("attachment; filename=a.csv", "/x/b.csv", None, "a.csv"),
        (None, "/x/b.csv", None, "b.csv"),
        (None, "/x/b", "text/csv; charset=utf-8", "b.csv"),
        (None, "/x/", "text/csv", "f00d.csv"),
        (None, None, None, "f00d"),
        ("attachment; filename=..", "/x/b.csv", None, "b.csv"),
        ("attachment; filename*=UTF-8''%0d%0aX:a", "/", None, "Xa"),
    ],
)
def test_the_name_comes_from_the_origin_the_url_or_chance(disposition, url_path, content_type, expected) -> None:
    fields = [("Content-Disposition", disposition), ("Content-Type", content_type)]
    source = FakeSource(headers=Headers((name, value) for name, value in fields if value))
    assert file_name(source, url_path=url_path, fallback=lambda: "f00d") == expected
