"""What tells the versions of a linked file apart."""

import pytest

from provider.links.facts import FIRST_BYTE, facts_of, version_of
from provider.upstream.answer import answer_of
from provider.upstream.memory_source import MemorySource
from provider.upstream.source import Headers

DATE = ("Date", "Mon, 30 Nov 2026 10:00:00 GMT")
OLD = ("Last-Modified", "Mon, 30 Nov 2026 09:59:00 GMT")
YOUNG = ("Last-Modified", "Mon, 30 Nov 2026 09:59:01 GMT")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="no validator"),
        pytest.param([("ETag", 'W/"a"'), DATE, OLD], id="a weak tag, which the date does not replace"),
        pytest.param([("ETag", '"\u20ac"')], id="a malformed tag"),
        pytest.param([DATE, YOUNG], id="changed within the last minute"),
        pytest.param([OLD], id="no time to compare with"),
    ],
)
def test_without_a_strong_validator_there_is_no_version(fields: list[tuple[str, str]]) -> None:
    assert version_of(Headers(fields)) == ""


def test_a_version_is_told_by_its_strong_validator_alone() -> None:
    tagged = version_of(Headers([("ETag", '"a"'), ("Content-Range", "bytes 0-0/9")]))
    assert tagged == version_of(Headers([("ETag", '"a"'), DATE, YOUNG]))
    dated = version_of(Headers([DATE, OLD]))
    assert len({"", tagged, dated, version_of(Headers([("ETag", '"b"')]))}) == 4


@pytest.mark.parametrize("name", ["X-Anything", "Content-Disposition"])
def test_what_an_origin_says_at_length_is_not_kept(name: str) -> None:
    source = MemorySource(bytes(10), content_type="text/csv")
    source.headers = Headers([("Content-Type", "text/csv"), (name, "x" * 60_000)])
    facts = facts_of(source, answer_of(FIRST_BYTE, source))
    assert facts is not None
    assert sum(len(value) for _, value in facts.headers) < 100
