"""JSON of strangers: bounded before it is parsed, exact, and never more in memory than is counted for it."""

import json
import re
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import BodyTooComplex
from provider.handlers.json_body import MAX_VALUES, PIECE_BYTES, JsonShape, parse_json

LIMIT = 128 << 10
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def outside(text: str) -> str:
    """What stands outside of strings, found by a reader of one character after the other."""
    found, is_inside, is_escaped = [], False, False
    for character in text:
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            is_inside = not is_inside
        elif not is_inside:
            found.append(character)
    return "".join(found)


@given(VALUES, st.booleans())
def test_what_stands_outside_of_strings_is_found(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert JsonShape.of(text.encode("utf-8", "surrogatepass")).outside.decode() == outside(text)


@pytest.mark.parametrize("string", [r"\\\"[{", r"\"", r"\\", r"\\\\", "[,]", "\\u005b"])
def test_strings_are_told_apart_across_pieces(string: str) -> None:
    for before in range(PIECE_BYTES - 6, PIECE_BYTES + 3):
        text = f'["{"x" * before}{string}", "{string}"]'
        assert JsonShape.of(text.encode()).outside.decode() == outside(text) == "[, ]", before


@given(VALUES, st.integers(1, 9))
def test_pieces_of_any_size_make_the_same_shape(value: object, size: int) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    shape, whole = JsonShape(), JsonShape.of(text)
    for start in range(0, len(text), size):
        shape.feed(text[start : start + size])
    assert (shape.outside, shape.parsed_bytes) == (whole.outside, whole.parsed_bytes)


@given(VALUES)
def test_values_come_out_as_they_went_in(value: object) -> None:
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode()) == parse_json(bytearray(text.encode())) == value


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ud8f01-e.NaIty', max_size=40).map(str.encode))
def test_only_what_orjson_takes_is_taken(text: bytes) -> None:
    try:
        expected = orjson.loads(text)
    except ValueError:
        assert parse_json(text) is None
        return
    # Of long integers orjson makes floats.
    assert parse_json(text) is not None if re.search(rb"[0-9]{19}", text) else parse_json(text) == expected


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", r'"\ud83d"', "[" * 2000 + "]" * 2000, "0x1", "01"])
def test_long_integers_open_no_door(value: str) -> None:
    """With them another parser reads, which by itself would take all of these."""
    assert parse_json(f'{{"nonce": 12345678901234567890123, "a": {value}}}') is None


def test_long_integers_are_exact_beside_pairs_of_surrogates() -> None:
    text = r'{"nonce": 12345678901234567890123, "a": "\ud83d\ude00"}'
    assert parse_json(text) == {"nonce": 12345678901234567890123, "a": "\U0001f600"}
    # In a string they are no numbers, and the ordinary parser reads.
    assert parse_json('{"a": "12345678901234567890123", "b": 1}') == {"a": "12345678901234567890123", "b": 1}


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x" * 200_000, "n": 10**30, "b": [1, "x"], "c": "y" * 70_000},
        {"a": "\u20ac" * 200_000, "b": "x" * 65_536},
        {"a": ["x" * 200_000]},
        {"x" * 200_000: 1},
        {"a": "x" * 200_000 + "\\"},
        ["x" * 200_000],
        "x" * 200_000,
    ],
    ids=["fields", "not ASCII", "in a list", "a name", "escapes", "no object", "text"],
)
def test_long_strings_come_out_as_they_went_in(value: object) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    "text", [b'{"a": "%b', b'{"a": "%b"', b'{"a": "%b" "b"}', b'{"a": "\xff%b"}', b'{"a": \xff"%b"}']
)
def test_broken_texts_with_long_strings_are_refused(text: bytes) -> None:
    assert parse_json(text % (b"x" * 200_000)) is None


HOSTILE = {
    "objects": "[" + "{}," * (LIMIT // 3) + "{}]",
    "lists": "[" + "[]," * (LIMIT // 3) + "[]]",
    "numbers": "[" + "1," * (LIMIT // 2) + "1]",
    "strings": "[" + '"",' * (LIMIT // 3) + '""]',
    "names": "{" + ",".join(f'"{number:x}":1' for number in range(LIMIT // 8)) + "}",
    "nested": "[" * LIMIT,
    "quotes": '"' * LIMIT,
    "spaces": "[" + " " * (1 << 20) + "]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_too_many_values_are_refused_before_they_are_made(name: str) -> None:
    text = HOSTILE[name].encode()
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooComplex):
            parse_json(text)
        assert tracemalloc.get_traced_memory()[1] < 64 * PIECE_BYTES
    finally:
        tracemalloc.stop()


HALF = MAX_VALUES // 2 - 1
COSTLY = {
    "objects": "[" + "{}," * HALF + "{}]",
    "objects with a field": "[" + '{"a":[]},' * (HALF // 2) + "1]",
    "nested": '{"a":' * 512 + "1" + "}" * 512,
    "names": "{" + ",".join(f'"{number:012}":{number + 1000}' for number in range(MAX_VALUES - 10)) + "}",
    "strings": "[" + ",".join(f'"{number}"' for number in range(MAX_VALUES - 10)) + "]",
    "wide": json.dumps(["x" * LIMIT + "\U0001f600"], ensure_ascii=False),
    "wide, escaped": json.dumps(["x" * LIMIT + "\U0001f600"]),
    "long numbers": "[" + ",".join(str(10**30 + number) for number in range(MAX_VALUES - 10)) + "]",
    "plain": json.dumps(["x" * LIMIT]),
}


@pytest.mark.parametrize("name", COSTLY)
def test_no_value_takes_more_memory_than_is_counted(name: str) -> None:
    text = COSTLY[name].encode()
    tracemalloc.start()
    try:
        value = parse_json(text)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert value is not None
    assert held <= JsonShape.of(text).parsed_bytes


@pytest.mark.parametrize("around", ["%s", "[%s, 12345678901234567890]"])
def test_what_is_nested_too_deeply_for_python_is_not_taken(around: str) -> None:
    """Values are compared and printed by recursion, for instance in a rule about one of two fields."""
    for depth, is_taken in ((500, True), (600, False), (1000, False)):
        for deep in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            value = parse_json(around % deep)
            assert (value is not None) == is_taken, depth
            assert value == parse_json(around % deep)
            assert str(value)
