"""One decision about an origin's answer: whole, exactly the part that was asked for, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.answer import (
    AskWhole,
    NotModified,
    Part,
    Parts,
    PreconditionFailed,
    Refused,
    Unsatisfiable,
    Whole,
    judge,
    whole_instead,
)
from provider.upstream.memory_source import MemorySource
from provider.upstream.ranges import passable_range, select_range
from provider.upstream.source import Headers
from provider.upstream.wish import NO_WISH, Wish, read_wish

OLD, CHANGED, NOW = "Tue, 01 Sep 2026 10:00:00 GMT", "Wed, 02 Sep 2026 10:00:00 GMT", "Thu, 03 Sep 2026 10:00:00 GMT"
BYTERANGES = {"Content-Type": "multipart/byteranges; boundary=x"}


def part(text: str, **more: str) -> dict[str, str]:
    return {"Content-Range": text, **{name.replace("_", "-"): value for name, value in more.items()}}


@pytest.mark.parametrize(
    ("wanted", "status", "fields", "length", "expected"),
    [
        pytest.param(None, 200, {}, 1000, Whole(1000), id="whole"),
        pytest.param(None, 200, {}, None, Whole(None), id="whole of unknown length"),
        pytest.param("bytes=0-9", 200, {}, 1000, Whole(1000), id="range ignored"),
        # Nobody asked for a part.
        pytest.param(None, 206, part("bytes 0-999/1000"), 1000, Whole(1000), id="everything as a part"),
        pytest.param(None, 206, part("bytes 0-999/1000"), None, Whole(1000), id="everything in chunks"),
        pytest.param(None, 206, part("bytes 0-99/1000"), 100, Refused, id="a part unasked"),
        pytest.param(None, 206, part("bytes 0-99/*"), 100, Refused, id="a part unasked of unknown"),
        pytest.param(None, 206, part("bytes 1-999/1000"), 999, Refused, id="the end unasked"),
        pytest.param(None, 206, BYTERANGES, 300, Refused, id="parts unasked"),
        # The part that was asked for.
        pytest.param("bytes=0-99", 206, part("bytes 0-99/1000"), 100, Part(0, 99, 1000), id="first bytes"),
        pytest.param("bytes=0-99", 206, part("BYTES 0-99/1000"), 100, Part(0, 99, 1000), id="unit in capitals"),
        pytest.param("bytes=0-99", 206, part("bytes 0-99/1000"), None, Part(0, 99, 1000), id="in chunks"),
        pytest.param("bytes=0-99", 206, part("bytes 0-99/*"), 100, Part(0, 99, None), id="of unknown"),
        pytest.param("bytes=900-", 206, part("bytes 900-999/1000"), 100, Part(900, 999, 1000), id="to the end"),
        pytest.param("bytes=0-", 206, part("bytes 0-999/1000"), 1000, Part(0, 999, 1000), id="all of it"),
        pytest.param("bytes=900-5000", 206, part("bytes 900-999/1000"), 100, Part(900, 999, 1000), id="past the end"),
        pytest.param("bytes=-100", 206, part("bytes 900-999/1000"), 100, Part(900, 999, 1000), id="suffix"),
        pytest.param("bytes=-5000", 206, part("bytes 0-999/1000"), 1000, Part(0, 999, 1000), id="long suffix"),
        # And any other.
        pytest.param("bytes=0-9", 206, {}, 10, Refused, id="no Content-Range"),
        pytest.param("bytes=0-9", 206, part("nonsense"), 10, Refused, id="nonsense"),
        pytest.param("bytes=0-9", 206, part("bytes */1000"), 10, Refused, id="of a 416"),
        pytest.param("bytes=0-9", 206, part("bytes 0-99/1000"), 10, Refused, id="another length"),
        pytest.param("bytes=0-9", 206, part("bytes 90-99/1000"), 10, Refused, id="another range"),
        pytest.param("bytes=0-9", 206, part("bytes 0-10/1000"), 11, Refused, id="more"),
        pytest.param("bytes=0-9", 206, part("bytes 0-8/1000"), 9, Refused, id="less"),
        pytest.param("bytes=10-", 206, part("bytes 10-99/1000"), 90, Refused, id="not to the end"),
        pytest.param("bytes=10-", 206, part("bytes 10-99/*"), 90, Refused, id="to an end that nobody knows"),
        pytest.param("bytes=-10", 206, part("bytes 90-99/*"), 10, Refused, id="suffix of unknown"),
        pytest.param("bytes=-10", 206, part("bytes 0-9/1000"), 10, Refused, id="not the suffix"),
        pytest.param("bytes=0-9", 206, BYTERANGES, 300, Refused, id="parts for one range"),
        # Several ranges.
        pytest.param("bytes=0-9,20-29", 206, BYTERANGES, 300, Parts(300), id="parts"),
        pytest.param("bytes=0-9,20-29", 206, BYTERANGES, None, Parts(None), id="parts in chunks"),
        pytest.param("bytes=0-9,20-29", 206, BYTERANGES | part("bytes 0-9/99"), 300, Refused, id="parts as one"),
        pytest.param("bytes=0-9,10-19", 206, part("bytes 0-19/1000"), 20, Part(0, 19, 1000), id="joined"),
        pytest.param("bytes=0-9,2000-", 206, part("bytes 0-9/1000"), 10, Part(0, 9, 1000), id="only one exists"),
        pytest.param("bytes=0-9,20-29", 206, part("bytes 5-29/1000"), 25, Refused, id="another between"),
        pytest.param("bytes=0-9,20-29", 200, {}, 1000, Whole(1000), id="several ignored"),
        # No such range.
        pytest.param("bytes=2000-", 416, part("bytes */1000"), 5, Unsatisfiable(1000), id="416"),
        pytest.param("bytes=2000-", 416, part("http://secret.example/x"), 5, Unsatisfiable(None), id="416, a secret"),
        pytest.param("bytes=2000-", 416, part("bytes 0-9/1000"), 5, Unsatisfiable(None), id="416 with a part"),
        pytest.param(None, 416, part("bytes */1000"), 5, Refused, id="416 unasked"),
        # No file.
        pytest.param(None, 304, {}, 0, Refused, id="304 unasked"),
        pytest.param(None, 412, {}, 0, Refused, id="412 unasked"),
        pytest.param(None, 204, {}, 0, Refused, id="204"),
        pytest.param(None, 203, {}, 1000, Refused, id="203"),
        pytest.param("bytes=0-9", 404, {}, 9, Refused, id="404"),
    ],
)
def test_what_was_asked_and_what_came(
    wanted: str | None, status: int, fields: dict[str, str], length: int | None, expected: object
) -> None:
    found = judge(Wish(wanted), status, Headers(fields.items()), length)
    assert isinstance(found, Refused) if expected is Refused else found == expected


def test_a_content_range_said_twice_has_to_be_the_same() -> None:
    same, other = ("Content-Range", "bytes 0-9/1000"), ("Content-Range", "bytes 90-99/1000")
    assert judge(Wish("bytes=0-9"), 206, Headers([same, same]), 10) == Part(0, 9, 1000)
    assert isinstance(judge(Wish("bytes=0-9"), 206, Headers([same, other]), 10), Refused)


VALIDATORS = {"ETag": '"v2"', "Last-Modified": CHANGED, "Date": NOW}
A_PART = part("bytes 5-9/10") | VALIDATORS


@pytest.mark.parametrize(
    ("fields", "status", "answered", "expected"),
    [
        pytest.param({"If-Range": '"v2"'}, 206, A_PART, Part(5, 9, 10), id="same version"),
        pytest.param({"If-Range": CHANGED}, 206, A_PART, Part(5, 9, 10), id="same time"),
        # The origin did not look at If-Range.
        pytest.param({"If-Range": '"v1"'}, 206, A_PART, AskWhole(), id="another version"),
        pytest.param({"If-Range": OLD}, 206, A_PART, AskWhole(), id="another time"),
        pytest.param({"If-Range": '"v2"'}, 206, part("bytes 5-9/10"), AskWhole(), id="no version told"),
        pytest.param({"If-Range": '"v2"'}, 206, A_PART | {"ETag": 'W/"v2"'}, AskWhole(), id="weak"),
        pytest.param({"If-Range": '"v2"'}, 206, part("bytes 0-4/10") | VALIDATORS, Refused, id="another part"),
        pytest.param({"If-Range": '"v2"'}, 200, VALIDATORS, Whole(10), id="whole"),
        pytest.param({"If-Range": '"v1"'}, 200, VALIDATORS, Whole(10), id="whole of another version"),
        pytest.param({"If-Range": '"v1"'}, 416, part("bytes */3"), AskWhole(), id="416 of whatever version"),
        # Conditions on the whole answer count before the range.
        pytest.param({"If-Match": '"v1"'}, 206, A_PART, PreconditionFailed(), id="failed for a part"),
        pytest.param({"If-Match": '"v2"'}, 206, A_PART, Part(5, 9, 10), id="held for a part"),
        pytest.param({"If-None-Match": '"v2"'}, 206, A_PART, NotModified(), id="not modified for a part"),
        pytest.param({"If-None-Match": '"v2"'}, 200, VALIDATORS, NotModified(), id="not modified"),
        pytest.param({"If-Match": '"v1"', "If-Range": '"v1"'}, 206, A_PART, PreconditionFailed(), id="failed first"),
        pytest.param({"If-Match": '"v1"'}, 416, part("bytes */3"), AskWhole(), id="416 before a condition"),
        # Decided by the origin itself.
        pytest.param({"If-Match": '"v1"'}, 412, {}, PreconditionFailed(), id="412"),
        pytest.param({"If-None-Match": '"v1"'}, 304, {}, NotModified(), id="304"),
        pytest.param({"If-Modified-Since": NOW}, 304, {}, NotModified(), id="304 by time"),
        pytest.param({"If-Unmodified-Since": NOW}, 412, {}, PreconditionFailed(), id="412 by time"),
        pytest.param({"If-Match": '"v1"'}, 304, {}, Refused, id="304 to what cannot give it"),
        pytest.param({"If-None-Match": '"v1"'}, 412, {}, Refused, id="412 to what cannot give it"),
    ],
)
def test_conditions_hold_whether_the_origin_knows_them_or_not(
    fields: dict[str, str], status: int, answered: dict[str, str], expected: object
) -> None:
    wish = read_wish({"Range": "bytes=5-9", **fields})
    found = judge(wish, status, Headers(answered.items()), 5 if status == 206 else 10)
    assert isinstance(found, Refused) if expected is Refused else found == expected


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 50) | st.none(), st.booleans())
def test_what_a_correct_origin_serves_is_taken(total: int, first: int, last: int | None, is_suffix: bool) -> None:
    wanted = passable_range(f"bytes=-{first}" if is_suffix else f"bytes={first}-{'' if last is None else last}")
    served = select_range(wanted, total)
    fields = {} if served.status == 200 else {"Content-Range": served.content_range}
    found = judge(Wish(wanted), served.status, Headers(fields.items()), served.count)
    assert (found.status, getattr(found, "length_bytes", 0)) == (served.status, served.count)


@given(
    st.sampled_from([None, "bytes=0-9", "bytes=5-", "bytes=-5", "bytes=0-3,5-9"]),
    st.integers(0, 30), st.integers(0, 30), st.integers(0, 31) | st.none(), st.integers(0, 31) | st.none(),
)  # fmt: skip
def test_nothing_is_taken_whose_numbers_disagree(
    wanted: str | None, first: int, last: int, total: int | None, length: int | None
) -> None:
    text = f"bytes {first}-{last}/{'*' if total is None else total}"
    found = judge(Wish(wanted), 206, Headers([("Content-Range", text)]), length)
    if isinstance(found, Part | Whole):
        assert found.length_bytes == last - first + 1
        assert length in (None, found.length_bytes)
        assert total is None or last < total
    if isinstance(found, Whole):
        assert (first, last + 1) == (0, total)


def test_no_wish_is_for_the_whole() -> None:
    assert judge(NO_WISH, 200, Headers(), 3) == Whole(3)


@pytest.mark.parametrize(
    ("if_range", "first_status", "expected"),
    [
        pytest.param("same", 416, Unsatisfiable(1000), id="the wanted version really ends before the range"),
        pytest.param("other", 416, Whole(1000), id="another version, so all of it"),
        pytest.param("same", 206, Whole(1000), id="the part was of another version, so all of it"),
    ],
)
def test_the_whole_file_that_was_asked_for_instead_decides(if_range: str, first_status: int, expected: object) -> None:
    source = MemorySource(bytes(1000), content_type="text/plain")
    tag = source.headers.get("ETag") if if_range == "same" else '"other"'
    wish = read_wish({"Range": "bytes=2000-", "If-Range": str(tag)})
    assert whole_instead(wish, first_status, source) == expected
