"""Digits and white space of wire text are those of ASCII, and no code reads wire text by Unicode's rules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.wire.text import digits, hex_bytes, hex_number, ows
from tests.support.syntax import nodes_of

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
# Where hex text needs no such reading, and why.
HEX_BEFORE = {
    "assets/ddo.py:value": "matched by a pattern",
    "assets/document_marks.py:did[-3:]": "a DID of a DDO",
    "assets/shared_chain.py:document_hash": "our own text",
    "crypto/accounts.py:match[1]": "a group of a pattern",
    "files/contract_abi.py:value": "matched by a pattern",
    "orders/fees.py:provider[2:]": "an address",
    "orders/fees.py:token[2:]": "an address",
    "orders/lookup.py:data_nft": "an address",
    "proofs/proof.py:address[2:]": "an address",
    "proofs/proof.py:proof.order_tx_id[-2 * WORD_BYTES:]": "parse_tx_id read it",
    "upstream/body.py:match[1]": "a group of a pattern",
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


@pytest.mark.parametrize(("text", "data"), [("", b""), ("00fF", b"\x00\xff")])
def test_hex_digits_are_bytes(text: str, data: bytes) -> None:
    assert hex_bytes(text) == data


@pytest.mark.parametrize("text", ["0", "0x00", "00 ff", " 00", "00\n", "0_00", "gg", "٣٣", "０0"])
def test_anything_else_is_no_bytes(text: str) -> None:
    assert hex_bytes(text) is None


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("00fF", 255), ("f" * 64, 2**256 - 1)])
def test_hex_digits_are_a_number(text: str, number: int) -> None:
    assert hex_number(text) == number


@pytest.mark.parametrize("text", ["", "0x1", "1_0", "+1", "-1", " 1", "1\n", "٣", "f" * 65])
def test_anything_else_is_no_hex_number(text: str) -> None:
    assert hex_number(text) is None


def test_only_one_module_reads_hex_text() -> None:
    """`bytes.fromhex` skips white space and `int(…, 16)` takes more than digits, so all others ask that module."""
    found = {
        f"{name}:{ast.unparse(node.args[0])}"
        for name, node in _calls(_server_files())
        if node.args and not isinstance(node.args[0], ast.Constant) and _reads_hex(node)
    }
    assert {entry for entry in found if not entry.startswith("wire/text.py:")} - set(HEX_BEFORE) == set()


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
    guarded = set()
    for node in nodes_of(path, ast.BoolOp):
        if isinstance(node.op, ast.And):
            values = [ast.unparse(value) for value in node.values]
            guarded |= {
                id(value)
                for at, value in enumerate(node.values)
                if f"{ast.unparse(value).rpartition('.')[0]}.isascii()" in values[:at]
            }
    for call in nodes_of(path, ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in CLASSES and id(call) not in guarded:
            yield ast.unparse(call.func.value)


def _reads_hex(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    return called.endswith("fromhex") or (called == "int" and len(node.args) == 2)


def _is_unicode_class(node: ast.Call) -> bool:
    text = "".join(
        part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
    ascii_only = text.startswith(("(?a", "(?ia")) or "re.ASCII" in ast.unparse(node)
    return not ascii_only and any(symbol in text for symbol in (r"\d", r"\w", r"\s", r"\b"))


def _server_files() -> Iterator[Path]:
    kit = {"demo", "testing"}
    return (path for path in sorted(PROVIDER.rglob("*.py")) if path.relative_to(PROVIDER).parts[0] not in kit)


def _wire_files(rooms: set[str] = WIRE) -> Iterator[Path]:
    """Without the rooms' settings, which are the operator's text."""
    files = (path for path in _server_files() if path.name != "config.py")
    return (path for path in files if path.relative_to(PROVIDER).parts[0] in rooms)


def _calls(paths: Iterator[Path]) -> Iterator[tuple[str, ast.Call]]:
    for path in paths:
        name = path.relative_to(PROVIDER).as_posix()
        yield from ((name, node) for node in nodes_of(path, ast.Call))
