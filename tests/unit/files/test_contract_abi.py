"""Functions of contracts: arguments from user data, results as JSON values; eth_abi and web3 are the judges."""

import json

import pytest
from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import ContractCallFailed, FileObjectInvalid, UserdataInvalid
from provider.files.contract_abi import Function, parse_function

ADDRESS = "0x967da4048cD07aB37855c090aAF366e4ce1b9F48"
POINT = [{"name": "x", "type": "int24"}, {"name": "y", "type": "bytes4[]"}]


def function(inputs: list[dict[str, object]], outputs: list[dict[str, object]] | None = None) -> Function:
    return parse_function(
        {"type": "function", "name": "f", "stateMutability": "pure", "inputs": inputs, "outputs": outputs or []}
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("uint256", 2**256 - 1, 2**256 - 1),
        ("uint256", str(2**256 - 1), 2**256 - 1),
        ("uint", "0x10", 16),
        ("uint8", 0, 0),
        ("int8", -128, -128),
        ("int256", "-5", -5),
        ("bool", False, False),
        ("string", "", ""),
        ("string", "ü", "ü"),
        ("bytes", "0x", b""),
        ("bytes", "0xabcd", b"\xab\xcd"),
        ("bytes4", "80ac58cd", bytes.fromhex("80ac58cd")),
        ("address", ADDRESS, ADDRESS),
        ("address", ADDRESS.lower(), ADDRESS),
        ("address", ADDRESS.upper().replace("X", "x"), ADDRESS),
        ("uint8[]", [], []),
        ("uint8[2]", [1, "2"], [1, 2]),
        ("uint8[2][]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("uint8[][2]", [[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_values_are_coded_as_eth_abi_codes_them(kind: str, value: object, expected: object) -> None:
    """K32: 0, false and the empty text are values like others."""
    full = kind.replace("uint[", "uint256[") if kind != "uint" else "uint256"
    data = function([{"name": "a", "type": kind}]).encode({"a": value, "other": 1})
    assert data == function_signature_to_4byte_selector(f"f({full})") + encode([full], [expected])


@pytest.mark.parametrize("value", [{"y": ["0x01020304"], "x": -1}, [-1, ["0x01020304"]]])
def test_structs_are_given_by_name_or_in_order(value: object) -> None:
    data = function([{"name": "p", "type": "tuple[]", "components": POINT}]).encode({"p": [value]})
    expected = encode(["(int24,bytes4[])[]"], [[(-1, [b"\x01\x02\x03\x04"])]])
    assert data == function_signature_to_4byte_selector("f((int24,bytes4[])[])") + expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", 1.0),
        ("uint8", True),
        ("uint8", None),
        ("uint8", "one"),
        ("uint256", "9" * 200),
        ("bool", 1),
        ("bool", "true"),
        ("string", 1),
        ("bytes", "0xabc"),
        ("bytes", [1]),
        ("bytes2", "0x010203"),
        ("address", "0x12"),
        ("address", 0),
        ("uint8[]", 1),
        ("uint8[2]", [1]),
        ("tuple", {"x": 1}),
        ("tuple", [1]),
        ("tuple", "x"),
    ],
)
def test_values_of_another_type_are_refused_without_an_echo(kind: str, value: object) -> None:
    with pytest.raises(UserdataInvalid) as caught:
        function([{"name": "a", "type": kind, "components": POINT}]).encode({"a": value})
    assert str(caught.value) == "userdata does not fit the inputs of the function."


def test_missing_arguments_are_named() -> None:
    two = function([{"name": name, "type": "bool"} for name in ("a", "b", "c")])
    with pytest.raises(FileObjectInvalid, match=r"^Missing parameters$"):
        two.encode({})
    with pytest.raises(FileObjectInvalid, match=r"^Missing userparams: a,c$"):
        two.encode({"b": True})
    with pytest.raises(FileObjectInvalid, match=r"^Missing userparams: \(not shown\)$"):
        function([{"name": "https://SECRET/", "type": "bool"}]).encode({"b": True})
    assert len(function([]).encode({})) == 4


@pytest.mark.parametrize(
    ("kinds", "values", "expected"),
    [
        (["uint256"], [2**256 - 1], 2**256 - 1),
        (["string"], ["ü"], "ü"),
        (["bytes32"], [b"\x01" * 32], "0x" + "01" * 32),
        (["bytes"], [b""], "0x"),
        (["address"], [ADDRESS], ADDRESS),
        (["address[]"], [[ADDRESS]], [ADDRESS]),
        (["bool", "int8"], [False, -1], [False, -1]),
        (["uint8[2][]"], [[[1, 2]]], [[1, 2]]),
    ],
)
def test_results_become_json_values(kinds: list[str], values: list[object], expected: object) -> None:
    result = function([], [{"name": "", "type": kind} for kind in kinds]).decode(encode(kinds, values))
    assert result == expected
    assert json.loads(json.dumps(result)) == expected


def test_structs_become_lists() -> None:
    data = encode(["(int24,bytes4[])[]"], [[(7, [b"\x01\x02\x03\x04"])]])
    outputs = [{"name": "", "type": "tuple[]", "components": POINT}]
    assert function([], outputs).decode(data) == [[7, ["0x01020304"]]]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("uint256", b""),
        ("uint256", b"\x01"),
        ("bool", b"\xff" * 32),
        ("string", b"\xff" * 64),
        ("string", encode(["bytes"], [b"\xff\xfe"])),
        ("uint8[]", (32).to_bytes(32, "big") + (2**200).to_bytes(32, "big")),
        ("bytes", bytes(300_000)),
    ],
)
def test_results_of_another_type_are_a_failed_call(kind: str, data: bytes) -> None:
    with pytest.raises(ContractCallFailed, match=r"^Failed to call contract$"):
        function([], [{"name": "", "type": kind}]).decode(data)


def test_a_few_words_cannot_become_many_values() -> None:
    """Each element of the outer arrays points at the same inner one: 1000 * 1000 * 1000 numbers in 96 KB."""
    count, word = 1000, (1000).to_bytes(32, "big")
    same = (32 * count).to_bytes(32, "big") * count
    data = (32).to_bytes(32, "big") + word + same + word + same + word + bytes(32 * count)
    with pytest.raises(ContractCallFailed):
        function([], [{"name": "", "type": "uint256[][][]"}]).decode(data)


@pytest.mark.parametrize(
    "kind",
    [
        *["uint7", "uint264", "uint08", "bytes0", "bytes33", "fixed", "function", "tuple", "(uint8)"],
        *["uint8[0]", "uint8[-1]", "uint8[][][][]", "uint8[99999]", "uint8]", "uint8[٣]"],
        *("uint8 ", "", "x" * 10_000),
    ],
)
def test_types_that_do_not_exist_are_an_invalid_abi(kind: str) -> None:
    for fields in ({"inputs": [{"name": "a", "type": kind}]}, {"inputs": [], "outputs": [{"name": "", "type": kind}]}):
        with pytest.raises(FileObjectInvalid, match=r"^invalid abi$"):
            parse_function({"type": "function", "name": "f", "stateMutability": "view", **fields})


def test_depth_and_number_of_parameters_are_bounded() -> None:
    deep: dict[str, object] = {"name": "a", "type": "bool"}
    for _ in range(9):
        deep = {"name": "a", "type": "tuple", "components": [deep]}
    # An array of empty structs takes no bytes, however long it is.
    empty = {"name": "a", "type": "tuple[]", "components": []}
    for inputs in ([deep], [empty], [{"name": "a", "type": "bool"}] * 65):
        with pytest.raises(FileObjectInvalid, match=r"^invalid abi$"):
            function(inputs)


@given(st.binary(max_size=400), st.sampled_from(["uint8[]", "string[]", "bytes", "tuple[]", "address[2]"]))
def test_any_result_is_a_value_or_a_failed_call(data: bytes, kind: str) -> None:
    try:
        json.dumps(function([], [{"name": "", "type": kind, "components": POINT}]).decode(data))
    except ContractCallFailed:
        pass
