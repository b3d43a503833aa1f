"""Range and length to the part that is served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.byte_range import Part, select_part


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        (None, 10, Part(200, 0, 10, 10)),
        ("bytes=0-", 10, Part(206, 0, 10, 10)),
        ("bytes=2-4", 10, Part(206, 2, 3, 10)),
        ("bytes=9-", 10, Part(206, 9, 1, 10)),
        ("bytes=10-", 10, Part(416, 0, 0, 10)),
        ("bytes=2-99", 10, Part(206, 2, 8, 10)),
        ("bytes=-3", 10, Part(206, 7, 3, 10)),
        ("bytes=-30", 10, Part(206, 0, 10, 10)),
        ("bytes=0-", 0, Part(416, 0, 0, 0)),
        ("bytes=-1", 0, Part(416, 0, 0, 0)),
        ("bytes=-0", 10, Part(200, 0, 10, 10)),
        ("bytes=4-2", 10, Part(200, 0, 10, 10)),
        ("bytes=0-1,4-5", 10, Part(200, 0, 10, 10)),
        ("chars=0-1", 10, Part(200, 0, 10, 10)),
        ("bytes=" + "9" * 19 + "-", 10, Part(416, 0, 0, 10)),
    ],
)
def test_the_part_is_that_of_rfc_9110(text: str | None, total: int, expected: Part) -> None:
    assert select_part(text, total) == expected


def test_content_range_names_part_and_whole() -> None:
    assert Part(206, 2, 3, 10).content_range == "bytes 2-4/10"
    assert Part(416, 0, 0, 10).content_range == "bytes */10"


@given(st.text(alphabet="bytes=-, 0123456789", max_size=20), st.integers(0, 1000))
def test_parts_lie_within_the_file(text: str, total: int) -> None:
    part = select_part(text, total)
    assert 0 <= part.first <= part.first + part.count <= total
    assert part.count > 0 or part.status == 416 or total == 0
