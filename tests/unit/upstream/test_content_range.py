"""Content-Range is read, or ignored when it makes no sense."""

import pytest

from provider.upstream.content_range import ContentRange, parse_content_range


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
        ("bytes -9/100", None),
        ("bytes 0-" + "9" * 30 + "/*", None),
    ],
)
def test_content_range_is_parsed_or_ignored(text: str | None, expected: ContentRange | None) -> None:
    assert parse_content_range(text) == expected
