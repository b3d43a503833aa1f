"""Which heads are plain, and their lines."""

import pytest

from provider.wire.head import plain_lines
from provider.wire.text import TOKEN


def test_lines_of_a_plain_head_are_its_start_line_and_its_fields() -> None:
    assert plain_lines(b"GET / HTTP/1.1\r\nA: b\r\nC:\r\n\r\n") == ["GET / HTTP/1.1", "A: b", "C:"]
    assert plain_lines(bytearray(b"HTTP/1.1 200 \r\n\r\n")) == ["HTTP/1.1 200 "]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n",
        b"a: b",
        b"a: b\r\n",
        b"a: b\n\n",
        b"a: b\r\nc: d\n\r\n",
        b"a: b\rc: d\r\n\r\n",
        b"a: b\r\n\r\nbody",
        b"a:\tb\r\n\r\n",
        b"a: \xe4\r\n\r\n",
        b"a: \x00\r\n\r\n",
        b"a: \x7f\r\n\r\n",
    ],
)
def test_any_other_head_is_left_to_a_full_parser(head: bytes) -> None:
    assert plain_lines(head) is None


def test_a_token_has_no_separators() -> None:
    assert TOKEN.fullmatch("X-a.b_1~!#$%&'*+^`|")
    assert not any(TOKEN.fullmatch(f"a{mark}") for mark in '"(),/:;<=>?@[\\]{} \t\xe4')
