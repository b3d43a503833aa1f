"""The next request of a download, and the meaning of an answer."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.commands.get.plan import (
    MAX_PIECE_BYTES,
    MIN_PIECE_BYTES,
    Facts,
    Saved,
    Span,
    Verdict,
    added,
    delay_seconds,
    facts_of,
    judge,
    judge_part,
    missing,
    pieces,
    resumable,
    retry_after_seconds,
    total,
)

LENGTH = 1000
FACTS = Facts(LENGTH, '"v1"', has_ranges=True)
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def covered(spans: tuple[Span, ...]) -> set[int]:
    return {at for first, end in spans for at in range(first, end)}


@given(SPANS)
def test_added_spans_cover_exactly_what_was_added_and_stay_apart(new: list[Span]) -> None:
    spans: tuple[Span, ...] = ()
    for first, end in new:
        spans = added(spans, first, end)
    assert covered(spans) == covered(tuple(new))
    assert all(left[1] < right[0] for left, right in pairwise(spans))
    assert total(spans) == len(covered(spans))


@given(SPANS, st.integers(0, 60), st.integers(0, 60))
def test_missing_is_the_rest(new: list[Span], first: int, end: int) -> None:
    spans: tuple[Span, ...] = ()
    for span in new:
        spans = added(spans, *span)
    gaps = missing(spans, first, end)
    assert covered(tuple(gaps)) == set(range(first, end)) - covered(spans)


@pytest.mark.parametrize("connections", [1, 4, 16])
@pytest.mark.parametrize("size", [1, MIN_PIECE_BYTES, MIN_PIECE_BYTES + 1, 1 << 30, 1 << 40])
def test_pieces_are_the_gaps_in_requests_of_bounded_size(size: int, connections: int) -> None:
    cut = pieces([(7, 7 + size)], connections)
    assert cut[0][0] == 7
    assert cut[-1][1] == 7 + size
    assert all(left[1] == right[0] for left, right in pairwise(cut))
    sizes = [end - first for first, end in cut]
    assert max(sizes) <= MAX_PIECE_BYTES
    assert all(one >= MIN_PIECE_BYTES for one in sizes[:-1])


@pytest.mark.parametrize(
    ("saved", "facts", "size"),
    [
        (None, FACTS, LENGTH),
        (Saved("of another", LENGTH, '"v1"', ((0, 10),)), FACTS, LENGTH),
        (Saved("a", LENGTH + 1, '"v1"', ((0, 10),)), FACTS, LENGTH),
        (Saved("a", LENGTH, '"v0"', ((0, 10),)), FACTS, LENGTH),
        (Saved("a", LENGTH, '"v1"', ((0, 10),)), Facts(LENGTH, '"v1"'), LENGTH),
        (Saved("a", LENGTH, '"v1"', ((0, 10),)), Facts(LENGTH, None, has_ranges=True), LENGTH),
        (Saved("a", LENGTH, '"v1"', ((0, 10),)), FACTS, 9),
    ],
    ids=["nothing", "another file", "length", "tag", "no ranges", "no tag", "cut"],
)
def test_what_may_be_of_another_version_is_not_resumed(saved: Saved | None, facts: Facts, size: int) -> None:
    assert resumable(saved, "a", facts, size) == ()


def test_the_same_version_is_resumed() -> None:
    assert resumable(Saved("a", LENGTH, '"v1"', ((0, 10), (20, 30))), "a", FACTS, 30) == ((0, 10), (20, 30))


def part(etag: str | None = '"v1"', content_range: str | None = "bytes 10-19/1000") -> Mapping[str, str]:
    fields = {"ETag": etag, "Content-Range": content_range}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [
        (206, part(), Verdict.TAKE),
        (206, part(etag='"v2"'), Verdict.CHANGED),
        (206, part(etag='W/"v1"'), Verdict.CHANGED),
        (206, part(etag=None), Verdict.WHOLE),
        (206, part(content_range="bytes 10-19/1001"), Verdict.CHANGED),
        (206, part(content_range="bytes 10-19/*"), Verdict.CHANGED),
        (206, part(content_range="bytes 11-20/1000"), Verdict.WHOLE),
        (206, part(content_range="bytes 10-18/1000"), Verdict.WHOLE),
        (206, part(content_range=None), Verdict.WHOLE),
        (200, {"ETag": '"v1"'}, Verdict.WHOLE),
        (200, {"ETag": '"v2"'}, Verdict.CHANGED),
        (200, {}, Verdict.CHANGED),
        (412, {}, Verdict.CHANGED),
        (416, {}, Verdict.CHANGED),
        (410, {}, Verdict.ENDED),
        (429, {}, Verdict.LATER),
    ],
)
def test_only_exactly_the_asked_bytes_of_the_same_version_are_taken(
    status: int, headers: Mapping[str, str], verdict: Verdict
) -> None:
    assert judge_part(status, headers, (10, 20), FACTS) is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.ENDED) for status in (401, 403, 404, 410)),
        *((status, Verdict.LATER) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, Verdict.REFUSED) for status in (300, 400, 405, 409, 501, 505)),
    ],
)
def test_status_says_whether_a_repetition_may_help(status: int, verdict: Verdict) -> None:
    assert judge(status) is verdict


@pytest.mark.parametrize(
    ("headers", "facts"),
    [
        ({"Content-Length": "7", "ETag": '"a"', "Accept-Ranges": "bytes"}, Facts(7, '"a"', has_ranges=True)),
        ({"Content-Length": "7", "ETag": 'W/"a"', "Accept-Ranges": "none"}, Facts(7)),
        ({"Content-Length": "-7", "ETag": "a"}, Facts()),
        ({}, Facts()),
    ],
)
def test_facts_of_headers(headers: Mapping[str, str], facts: Facts) -> None:
    assert facts_of(headers) == facts


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_pauses_grow_up_to_half_a_minute() -> None:
    assert [delay_seconds(attempt, 1.0) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert delay_seconds(1, 0.0) == 0.25
