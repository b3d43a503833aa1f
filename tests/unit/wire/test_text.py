"""Digits and white space of wire text are those of ASCII, and no code reads wire text by Unicode's rules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.wire.text import digits, ows

PROVIDER = Path(__file__).parents[3] / "provider"
# Text of clients, origins, nodes and proxies passes through these.
WIRE = {
    "admin",
    "admission",
    "chain",
    "handlers",
    "http1",
    "outgoing",
    "streaming",
    "upstream",
}
# str methods that say yes to characters outside ASCII.
CLASSES = {"isalnum", "isdecimal", "isdigit", "isnumeric", "isspace"}
TRIMMING = {"strip", "lstrip", "rstrip", "split", "rsplit"}
# Text that may lose any white space: the kernel's, and a name for people.
TRIMMED = {"statm.read().split()", "_UNSAFE.sub('', name).strip()"}
# Where such a method is asked of text that is ASCII, and why.
ASCII_BEFORE = {
    "auth/nonce_window.py:nonce": "parse_nonce read it",
    "auth/nonce_window.py:kind": "our own text",
}
# Heads of strangers pass through these.
HEADS = {"admission", "handlers", "http1", "streaming", "upstream"}
# What int() and float() may be given there without a helper, and why it is ASCII digits already.
CHECKED_BEFORE = {
    "handlers/compute/params.py:wire_text(value_of(data, 'compute.validUntil'))": "matched by the field's rule",
    "handlers/downloads/download.py:request.file_index": "matched by the field's rule",
    "handlers/downloads/fileinfo.py:info.content_length or 0": "made from a number",
    "handlers/params.py:file_index": "matched by the field's rule",
    "handlers/request_data.py:text": "matched by CHAIN_ID",
    "handlers/accept.py:weight": "matched by a pattern",
    "handlers/identity/token_params.py:text": "matched by DIGITS",
    "http1/heads.py:time.time()": "a number",
    "streaming/splice_writer.py:limit - queued": "a number",
    "upstream/addresses.py:address": "an address",
    "upstream/file_source.py:stat.st_mtime": "a number",
    "upstream/answer.py:first_text": "passable_range matched it",
    "upstream/answer.py:last_text": "passable_range matched it",
    "upstream/ranges.py:first_text": "passable_range matched it",
    "upstream/ranges.py:last_text": "passable_range matched it",
    "upstream/patience.py:seconds": "digits read it",
    "upstream/ranges.py:first": "a group of a pattern",
    "upstream/ranges.py:last": "a group of a pattern",
    "upstream/ranges.py:suffix": "a group of a pattern",
    "upstream/response_head.py:status_line[2]": "a group of a pattern",
}


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9" * 4300, int("9" * 4300))])
def test_digits_are_a_number(text: str, number: int) -> None:
    assert digits(text) == number


@pytest.mark.parametrize("text", ["", "²", "٣", "５", "1_0", "+1", "-1", " 1", "1\n", "0x1", "1.0", "9" * 4301])
def test_anything_else_is_no_number(text: str) -> None:
    assert digits(text) is None


def test_more_digits_than_asked_for_are_no_number() -> None:
    assert (digits("123", max_chars=3), digits("1234", max_chars=3)) == (123, None)


@given(st.text())
def test_a_number_comes_of_ascii_digits_only(text: str) -> None:
    assert (digits(text) is not None) == (0 < len(text) <= 4300 and set(text) <= set("0123456789"))


def test_optional_white_space_is_space_and_tab() -> None:
    assert ows(" \ta b\t ") == "a b"
    for other in "\x85\xa0\x0b\x0c\x1c\u2003\r\n":
        assert ows(other + "a" + other) == other + "a" + other


def test_the_rooms_that_are_looked_through_are_there() -> None:
    assert sorted(room for room in WIRE | HEADS if not list((PROVIDER / room).rglob("*.py"))) == []


def test_no_code_asks_unicode_which_characters_are_digits() -> None:
    """Except after `isascii()` of the same text."""
    found = {
        f"{path.relative_to(PROVIDER).as_posix()}:{text}" for path in _server_files() for text in _asked_unguarded(path)
    }
    assert found - set(ASCII_BEFORE) == set()


def test_no_room_of_the_wire_trims_white_space_of_unicode() -> None:
    found = [
        f"{name}:{node.lineno} .{node.func.attr}()"
        for name, node in _calls(_wire_files())
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in TRIMMING
        and not node.args
        and ast.unparse(node) not in TRIMMED
    ]
    assert found == []


def test_no_room_of_heads_reads_numbers_that_were_not_checked() -> None:
    found = {
        f"{name}:{argument}"
        for name, node in _calls(_wire_files(HEADS))
        if isinstance(node.func, ast.Name)
        and node.func.id in ("int", "float")
        and node.args
        and not (argument := ast.unparse(node.args[0])).startswith("match[")
        and not isinstance(node.args[0], ast.Constant | ast.BinOp)
    }
    assert found - set(CHECKED_BEFORE) == set()


def test_no_pattern_of_the_wire_means_unicode_by_a_class() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, node in _calls(_wire_files())
        if ast.unparse(node.func).startswith("re.") and node.args and _is_unicode_class(node)
    ]
    assert found == []


def _asked_unguarded(path: Path) -> Iterator[str]:
    """Texts that are asked for a class of characters, outside of `text.isascii() and …`."""
    tree = ast.parse(path.read_text())
    guarded = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            values = [ast.unparse(value) for value in node.values]
            guarded |= {
                id(value)
                for at, value in enumerate(node.values)
                if f"{ast.unparse(value).rpartition('.')[0]}.isascii()" in values[:at]
            }
    for node in ast.walk(tree):
        is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if is_method and node.func.attr in CLASSES and id(node) not in guarded:
            yield ast.unparse(node.func.value)


def _is_unicode_class(node: ast.Call) -> bool:
    text = "".join(
        part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
    ascii_only = text.startswith(("(?a", "(?ia")) or "re.ASCII" in ast.unparse(node)
    return not ascii_only and any(symbol in text for symbol in (r"\d", r"\w", r"\s", r"\b"))


def _server_files() -> Iterator[Path]:
    return (path for path in sorted(PROVIDER.rglob("*.py")) if path.relative_to(PROVIDER).parts[0] != "demo")


def _wire_files(rooms: set[str] = WIRE) -> Iterator[Path]:
    """Without the rooms' settings, which are the operator's text."""
    files = (path for path in _server_files() if path.name != "config.py")
    return (path for path in files if path.relative_to(PROVIDER).parts[0] in rooms)


def _calls(paths: Iterator[Path]) -> Iterator[tuple[str, ast.Call]]:
    for path in paths:
        name = path.relative_to(PROVIDER).as_posix()
        yield from ((name, node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
