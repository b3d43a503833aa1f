"""Which broken bodies may be continued, how the rest is asked for, and what is taken for it."""

import pytest

from provider.errors import UpstreamRefused
from provider.upstream.resume import Rest, for_rest, may_pass, rest_of
from provider.upstream.source import Headers, HttpRequest

OLD, NOW = "Tue, 01 Sep 2026 10:00:00 GMT", "Sun, 22 Nov 2026 18:00:00 GMT"
A_MINUTE_AGO, LESS_AGO = "Sun, 22 Nov 2026 17:59:00 GMT", "Sun, 22 Nov 2026 17:59:01 GMT"
REST = Rest(100, 999, 1000, "ETag", '"v1"')


class Answer:
    """As much of a `Source` as is looked at."""

    def __init__(self, status: int, length_bytes: int | None, **fields: str) -> None:
        self.status, self.length_bytes = status, length_bytes
        self.headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())


def test_a_whole_file_with_a_strong_etag_is_continued() -> None:
    assert rest_of(Answer(200, 1000, ETag='"v1"')) == Rest(0, 999, 1000, "ETag", '"v1"')


def test_a_part_is_continued_in_the_file() -> None:
    part = Answer(206, 400, ETag='"v1"', Content_Range="bytes 500-899/1000")
    assert rest_of(part) == Rest(500, 899, 1000, "ETag", '"v1"')
    assert rest_of(part).after(100).range_header == "bytes=600-899"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, 1000), id="no validator"),
        pytest.param(Answer(200, 1000, ETag='W/"v1"'), id="weak"),
        pytest.param(Answer(200, 1000, ETag="v1"), id="no quotes"),
        pytest.param(Answer(200, 1000, ETag='""'), id="empty"),
        pytest.param(Answer(200, 1000, ETag='"a", "b"'), id="two"),
        # RFC 9110 section 13.1.5: a time only where there is no ETag at all.
        pytest.param(Answer(200, 1000, ETag='W/"v1"', Last_Modified=OLD, Date=NOW), id="weak with a time"),
        pytest.param(Answer(200, None, ETag='"v1"'), id="no length"),
        pytest.param(Answer(200, 0, ETag='"v1"'), id="empty body"),
        pytest.param(Answer(200, 1000, ETag='"v1"', Accept_Ranges="none"), id="no ranges"),
        pytest.param(Answer(206, 400, ETag='"v1"'), id="a part of nothing"),
        pytest.param(Answer(206, 400, ETag='"v1"', Content_Range="bytes 500-899/*"), id="a part of unknown"),
        pytest.param(Answer(206, 401, ETag='"v1"', Content_Range="bytes 500-899/1000"), id="another length"),
        pytest.param(
            Answer(206, 400, ETag='"v1"', Content_Range="bytes 0-399/1000", Content_Type="multipart/byteranges; b=x"),
            id="several parts",
        ),
        pytest.param(Answer(404, 1000, ETag='"v1"'), id="no file"),
        pytest.param(Answer(404, 400, ETag='"v1"', Content_Range="bytes 500-899/1000"), id="no file, with a range"),
        pytest.param(Answer(200, 1000, Last_Modified=OLD), id="no date"),
        pytest.param(Answer(200, 1000, Last_Modified=LESS_AGO, Date=NOW), id="changed just now"),
        pytest.param(Answer(200, 1000, Last_Modified="yesterday", Date=NOW), id="no time"),
        pytest.param(Answer(200, 1000, Last_Modified="Tue, 01 Sep 2026 10:00:00", Date=NOW), id="no zone"),
        pytest.param(Answer(200, 1000, Last_Modified=OLD, Date=NOW, Content_Encoding="br"), id="coded by time"),
    ],
)
def test_nothing_else_is_continued(answer: Answer) -> None:
    assert rest_of(answer) is None


@pytest.mark.parametrize("modified", [OLD, A_MINUTE_AGO])
def test_a_time_well_before_the_answer_is_strong(modified: str) -> None:
    found = rest_of(Answer(200, 1000, Last_Modified=modified, Date=NOW))
    assert found == Rest(0, 999, 1000, "Last-Modified", modified)


def test_the_rest_is_asked_for_instead_of_any_range() -> None:
    request = HttpRequest("GET", "http://x/", (("range", "bytes=0-1"), ("X-Key", "k"), ("If-Range", '"old"')))
    asked = for_rest(request, REST)
    assert asked.headers == (("X-Key", "k"), ("Range", "bytes=100-999"), ("If-Range", '"v1"'))
    assert for_rest(request, None) is request


def test_the_rest_of_a_coded_file_has_the_same_coding() -> None:
    rest = rest_of(Answer(200, 1000, ETag='"v1"', Content_Encoding="br"))
    assert rest == Rest(0, 999, 1000, "ETag", '"v1"', "br")
    part = {"ETag": '"v1"', "Content_Range": "bytes 100-999/1000"}
    assert rest.after(100).is_in(Answer(206, 900, **part, Content_Encoding="br"))
    assert not rest.after(100).is_in(Answer(206, 900, **part, Content_Encoding="gzip"))


def test_only_get_has_a_rest() -> None:
    with pytest.raises(UpstreamRefused):
        for_rest(HttpRequest("POST", "http://x/", (), b""), REST)


def test_exactly_the_rest_is_taken() -> None:
    assert REST.is_in(Answer(206, 900, ETag='"v1"', Content_Range="bytes 100-999/1000"))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, 1000, ETag='"v1"'), id="all of it"),
        pytest.param(Answer(200, 900, ETag='"v1"', Content_Range="bytes 100-999/1000"), id="no part by status"),
        pytest.param(Answer(206, 900, ETag='"v2"', Content_Range="bytes 100-999/1000"), id="another version"),
        pytest.param(Answer(206, 900, ETag='W/"v1"', Content_Range="bytes 100-999/1000"), id="weak"),
        # RFC 9110 section 15.3.7.3: the same strong validator on all parts.
        pytest.param(Answer(206, 900, Content_Range="bytes 100-999/1000"), id="no version"),
        pytest.param(Answer(206, 901, ETag='"v1"', Content_Range="bytes 99-999/1000"), id="before"),
        pytest.param(Answer(206, 899, ETag='"v1"', Content_Range="bytes 101-999/1000"), id="after"),
        pytest.param(Answer(206, 899, ETag='"v1"', Content_Range="bytes 100-998/1000"), id="less"),
        pytest.param(Answer(206, 900, ETag='"v1"', Content_Range="bytes 100-999/1001"), id="a longer file"),
        pytest.param(Answer(206, 900, ETag='"v1"', Content_Range="bytes 100-999/*"), id="of unknown"),
        pytest.param(Answer(206, None, ETag='"v1"', Content_Range="bytes 100-999/1000"), id="no length"),
        pytest.param(Answer(206, 950, ETag='"v1"', Content_Range="bytes 100-999/1000"), id="another length"),
        pytest.param(
            Answer(206, 900, ETag='"v1"', Content_Range="bytes 100-999/1000", Content_Encoding="gzip"), id="coded"
        ),
        pytest.param(Answer(416, 0, ETag='"v1"', Content_Range="bytes */1000"), id="416"),
    ],
)
def test_nothing_else_is_taken_for_it(answer: Answer) -> None:
    assert not REST.is_in(answer)


@pytest.mark.parametrize(("status", "passes"), [(429, True), (503, True), (502, True), (404, False), (206, False)])
def test_overload_and_restarts_pass(status: int, passes: bool) -> None:
    assert may_pass(status) is passes
