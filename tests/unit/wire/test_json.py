"""JSON as Python and JavaScript write it. The judge is `json`, wherever it makes a value that JSON has."""

import json
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.wire.json import _MAX_BYTES, _TEXT_OR_NUMBER, read_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ufffd"}),
        (b'{"a":"x\\uDE00y"}', {"a": "x\ufffdy"}),
        (b'{"\\ud83d":1}', {"\ufffd": 1}),
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b'["\\ud83d\\ude00", "\\ude00\\ud83d"]', ["\U0001f600", "\ufffd\ufffd"]),
        (b'{"a":NaN,"b":1}', {"a": None, "b": 1}),
        (b"[Infinity,-Infinity]", [None, None]),
        (b"[1e999,-1E+400,1e300]", [None, None, 1e300]),
        (b"[NaN," + b"1" * 400 + b"]", [None, None]),
        (b'["NaN", "1e999", "\\"NaN", NaN]', ["NaN", "1e999", '"NaN', None]),
        (b'["\\\\ud83d", "\\ud83d\\\\"]', ["\\ud83d", "\ufffd\\"]),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'["\xed\xa0\xbd"]', ["\ufffd"]),
        ('["\ud83d"]', ["\ufffd"]),
        (bytearray(b'["\\ud83d", 18446744073709551615]'), ["\ufffd", 2**64 - 1]),
    ],
    ids=str,
)
def test_what_python_and_javascript_write_is_read(text: bytes | str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>NaN</html>",
        b'{"a":"\\ud83d"',
        b'{"a":nan}',
        b'["\\ud83d",]',
        b'["\xff\\ud83d"]',
        b"[" * 100_000 + b'"\\ud83d"',
        b"[" * 100_000 + b'"\\ud83d"' + b"]" * 100_000,
        b'["\\ud83d", "' + b"x" * (1 << 20) + b'"]',
    ],
    ids=lambda text: str(text)[:30],
)
def test_everything_else_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


texts = st.text(alphabet=st.characters(codec=None, categories=None))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(values, st.booleans())
def test_whatever_json_writes_is_read_and_can_be_written_again(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    read = read_json(text)
    orjson.dumps(read)
    if not re.search(r"NaN|Infinity|[\ud800-\udfff]|\\u[dD]", text):
        assert read == json.loads(text)


@given(st.binary(max_size=20) | st.text(alphabet='"\\\\na', max_size=20).map(str.encode))
def test_no_quote_is_read_twice(rest: bytes) -> None:
    """An attempt that fails at a quote is repeated at the next one: the square of the length, and no thread runs."""
    found = _TEXT_OR_NUMBER.match(b'"' + rest)
    assert found is not None
    assert b'"' not in found[0][1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")


def test_quotes_without_an_end_are_no_json() -> None:
    text = b'NaN"' + b'\\"' * (_MAX_BYTES // 2 - 2)
    with pytest.raises(ValueError, match="unexpected"):
        read_json(text)
