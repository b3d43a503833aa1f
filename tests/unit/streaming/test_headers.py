"""Which of the origin's headers reach the consumer, and what is ours."""

import pytest

from provider.streaming.headers import file_name, reply_headers
from provider.upstream.answer import Part, Parts, Whole
from provider.upstream.source import Headers

FIVE_BYTES = Whole(5)


def replied(answer: Whole | Part | Parts = FIVE_BYTES, name: str = "data.csv", **fields: str) -> dict[str, str]:
    headers = Headers((key.replace("_", "-"), value) for key, value in fields.items())
    return dict(reply_headers(headers, answer, name=name))


OF_FILE = {
    "Content-Type": "text/csv",
    "Accept-Ranges": "bytes",
    "ETag": '"a"',
    "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
    "Content-Encoding": "gzip",
}
OURS = {
    "Content-Disposition": "attachment;filename=data.csv",
    "Access-Control-Expose-Headers": (
        "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, X-Request-ID"
    ),
}


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        (Whole(5), {"Content-Length": "5"}),
        (Whole(None), {}),
        (Part(0, 4, 10), {"Content-Length": "5", "Content-Range": "bytes 0-4/10"}),
        (Part(0, 4, None), {"Content-Length": "5", "Content-Range": "bytes 0-4/*"}),
        (Parts(300), {"Content-Length": "300"}),
    ],
    ids=repr,
)
def test_the_numbers_are_those_of_the_answer_and_the_rest_the_origins(answer, numbers: dict[str, str]) -> None:
    stated = OF_FILE | {"Content-Range": "bytes 7-9/8", "Content-Length": "99"}
    assert replied(answer, **stated) == OF_FILE | OURS | numbers


@pytest.mark.parametrize("name", ["Set-Cookie", "Location", "Server", "Connection", "Transfer-Encoding", "Via", "Link"])
def test_anything_else_stays_with_the_origin(name: str) -> None:
    assert name not in replied(**{name: "secret"})


@pytest.mark.parametrize("name", ["Accept-Ranges", "ETag", "Last-Modified", "Content-Encoding", "Content-Type"])
@pytest.mark.parametrize(
    "value",
    ["http://secret.example/x", "", "x" * 300, '"a", "b"', "Tue, 01 Sep 2026 10:00:00 GMT http://secret.example/x"],
)
def test_a_field_passes_only_in_its_own_form(name: str, value: str) -> None:
    """An origin's answer is no channel for what its own pages say."""
    assert value not in replied(**{name: value}).values()


@pytest.mark.parametrize(
    ("name", "stated", "expected"),
    [
        ("a.csv", "application/x-mine; v=1", "application/x-mine; v=1"),
        ("a.json", None, "application/json"),
        ("a.parquet", None, "application/vnd.apache.parquet"),
        ("a.geojson", None, "application/geo+json"),
        ("a.csv.gz", None, "application/gzip"),
        ("a", None, "application/octet-stream"),
        ("a.html", None, "application/octet-stream"),
        ("a.xhtml", None, "application/octet-stream"),
        ("a.html", "text/html", "text/html"),
    ],
)
def test_content_type_is_the_origins_else_guessed_else_bytes(name: str, stated: str | None, expected: str) -> None:
    assert replied(name=name, **({"Content-Type": stated} if stated else {}))["Content-Type"] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data.csv", "attachment;filename=data.csv"),
        ("my data.csv", 'attachment;filename="my data.csv"'),
        ("a,b=(1).csv", 'attachment;filename="a,b=(1).csv"'),
        ("caf\u00e9.csv", "attachment;filename=\"caf_.csv\";filename*=UTF-8''caf%C3%A9.csv"),
        ("\u6570 1.csv", "attachment;filename=\"_ 1.csv\";filename*=UTF-8''%E6%95%B0%201.csv"),
    ],
)
def test_a_name_is_a_token_or_quoted_and_extended_beyond_ascii(name: str, expected: str) -> None:
    assert replied(name=name)["Content-Disposition"] == expected


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
    headers = Headers((name, value) for name, value in fields if value)
    assert file_name(headers, url_path=url_path, fallback=lambda: "f00d") == expected
