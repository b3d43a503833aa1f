"""A consumer's Range is passed on only when it is a sane one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.ranges import passable_range


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
    ],
)
def test_ranges_are_normalised_or_ignored(text: str | None, expected: str | None) -> None:
    assert passable_range(text) == expected


@given(st.text(alphabet="bytes=0123456789-, \r\n\x00;é", max_size=40))
def test_what_passes_can_stand_in_a_header(text: str) -> None:
    passed = passable_range(text)
    assert passed is None or (passed.isascii() and passed.isprintable() and passable_range(passed) == passed)
