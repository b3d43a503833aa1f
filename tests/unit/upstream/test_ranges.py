"""A consumer's Range is passed on only when it is a sane one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.ranges import ContentRange, Selection, parse_content_range, passable_range, select_range


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("bytes=0-", "bytes=0-"),
        ("bytes=0-0", "bytes=0-0"),
        ("bytes=-5", "bytes=-5"),
        ("Bytes = 0-4", "bytes=0-4"),
        ("bytes=0-4, 10-14,,-1", "bytes=0-4,10-14,-1"),
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=-0", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=0-4\r\nX: y", None),
        ("bytes=0--4", None),
        ("bytes=+1-2", None),
        ("bytes=٠-٤", None),
        ("items=0-4", None),
        ("bytes=" + ",".join(["0-0"] * 8), "bytes=" + ",".join(["0-0"] * 8)),
        ("bytes=" + ",".join(["0-0"] * 9), None),
        ("bytes=0-" + "9" * 600, None),
        ("bytes=0-1" + " " * 503, "bytes=0-1"),
        ("bytes=0-1" + " " * 504, None),
        ("bytes=0-4=", None),
        ("\xa0bytes=0-4", None),
        ("bytes=\x0b0-4", None),
        ("Xbytes=0-4", None),
        ("bytes=X0-4", None),
    ],
)
def test_ranges_are_normalised_or_ignored(text: str | None, expected: str | None) -> None:
    assert passable_range(text) == expected


@given(st.text(alphabet="bytes=0123456789-, \r\n\x00;é", max_size=40))
def test_what_passes_can_stand_in_a_header(text: str) -> None:
    passed = passable_range(text)
    assert passed is None or (passed.isascii() and passed.isprintable() and passable_range(passed) == passed)


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        (None, 10, Selection(200, 0, 10, 10)),
        ("bytes=0-", 10, Selection(206, 0, 10, 10)),
        ("bytes=2-4", 10, Selection(206, 2, 3, 10)),
        ("bytes=9-", 10, Selection(206, 9, 1, 10)),
        ("bytes=10-", 10, Selection(416, 0, 0, 10)),
        ("bytes=2-99", 10, Selection(206, 2, 8, 10)),
        ("bytes=-3", 10, Selection(206, 7, 3, 10)),
        ("bytes=-30", 10, Selection(206, 0, 10, 10)),
        ("bytes=0-", 0, Selection(416, 0, 0, 0)),
        ("bytes=-1", 0, Selection(416, 0, 0, 0)),
        ("bytes=-0", 10, Selection(200, 0, 10, 10)),
        ("bytes=4-2", 10, Selection(200, 0, 10, 10)),
        ("bytes=0-1,4-5", 10, Selection(200, 0, 10, 10)),
        ("chars=0-1", 10, Selection(200, 0, 10, 10)),
        ("bytes=" + "9" * 19 + "-", 10, Selection(416, 0, 0, 10)),
    ],
)
def test_the_part_is_that_of_rfc_9110(text: str | None, total: int, expected: Selection) -> None:
    assert select_range(text, total) == expected


def test_content_range_names_part_and_whole() -> None:
    assert Selection(206, 2, 3, 10).content_range == "bytes 2-4/10"
    assert Selection(416, 0, 0, 10).content_range == "bytes */10"


@given(st.text(alphabet="bytes=-, 0123456789", max_size=20), st.integers(0, 1000))
def test_parts_lie_within_the_file(text: str, total: int) -> None:
    part = select_range(text, total)
    assert 0 <= part.first <= part.first + part.count <= total
    assert part.count > 0 or part.status == 416 or total == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-9/100", ContentRange(0, 9, 100)),
        (" Bytes 5-5/6 ", ContentRange(5, 5, 6)),
        ("bytes 0-9/*", ContentRange(0, 9, None)),
        ("bytes */100", ContentRange(None, None, 100)),
        (None, None),
        ("", None),
        ("bytes */*", None),
        ("bytes 9-0/100", None),
        ("bytes 0-100/100", None),
        ("bytes 0-9", None),
        ("items 0-9/100", None),
        ("\xa0bytes 0-9/100", None),
        ("Xbytes 0-9/100", None),
        ("bytes -9/100", None),
        ("bytes 0-" + "9" * 30 + "/*", None),
    ],
)
def test_content_range_is_parsed_or_ignored(text: str | None, expected: ContentRange | None) -> None:
    assert parse_content_range(text) == expected
