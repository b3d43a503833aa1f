"""JSON-RPC replies: what counts as an answer, and what as a failure of the endpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.chain.jsonrpc import (
    TOO_LARGE,
    MalformedReply,
    RpcCall,
    RpcFault,
    decode,
    encode,
    is_answer,
    is_limit,
)


def reply(position: object, result: object = "0x1") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": position, "result": result}


def failed(position: object, code: int = -32000, message: str = "no") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": position, "error": {"code": code, "message": message}}


def test_one_call_is_an_object_and_more_are_an_array() -> None:
    call = RpcCall("eth_call", ({"to": "0x1"}, "latest"))
    single = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": "0x1"}, "latest"]}
    assert json.loads(encode([call])) == single
    assert json.loads(encode([call, RpcCall("eth_chainId")])) == [
        single,
        {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId", "params": []},
    ]


def test_results_come_in_the_order_of_the_calls() -> None:
    body = json.dumps([reply(3, "c"), reply(1, "a"), reply(2, None)]).encode()
    assert decode(body, 3) == ["a", None, "c"]


def test_an_error_of_one_call_is_a_value() -> None:
    body = json.dumps([reply(1), failed(2, 3, "execution reverted")]).encode()
    assert decode(body, 2) == ["0x1", RpcFault(3, "execution reverted")]
    assert decode(json.dumps(failed(None)).encode(), 1) == [RpcFault(-32000, "no")]


MALFORMED = {
    "not json": (b"<html>", 1),
    "empty": (b"", 2),
    "text": (b'"0x1"', 1),
    "null": (b"null", 2),
    "array for one call": (json.dumps([reply(1)]).encode(), 1),
    "other id": (json.dumps(reply(2)).encode(), 1),
    "id that is no number": (json.dumps(reply("one")).encode(), 1),
    "superscript id": (json.dumps(reply("\u00b9")).encode(), 1),
    "boolean id": (json.dumps([reply(2), reply(True)]).encode(), 2),
    "no result": (b'{"jsonrpc":"2.0","id":1}', 1),
    "error of another call": (json.dumps(failed(7)).encode(), 1),
    "result object for a batch": (json.dumps(reply(1)).encode(), 2),
    "error object for a batch": (json.dumps(failed(None, -32600, "batch not supported")).encode(), 2),
    "error text for a batch": (b'{"error":"batch not supported"}', 2),
    "one error without id for a batch": (json.dumps([failed(None)]).encode(), 2),
    "empty array": (b"[]", 2),
    "missing id": (json.dumps([reply(1)]).encode(), 2),
    "duplicate id": (json.dumps([reply(1), reply(1)]).encode(), 2),
    "same id as text": (json.dumps([reply(1), reply("1")]).encode(), 2),
    "unknown id": (json.dumps([reply(1), reply(3)]).encode(), 2),
    "id from 0": (json.dumps([reply(0), reply(1)]).encode(), 2),
    "negative id": (json.dumps([reply(1), reply(-1)]).encode(), 2),
    "extra item": (json.dumps([reply(1), reply(2), reply(3)]).encode(), 2),
    "items that are no objects": (b"[1,2]", 2),
    "deeply nested": (b"[" * 100_000, 2),
}


@pytest.mark.parametrize(("body", "count"), MALFORMED.values(), ids=MALFORMED.keys())
def test_anything_but_one_reply_per_call_is_malformed(body: bytes, count: int) -> None:
    with pytest.raises(MalformedReply):
        decode(body, count)


def test_an_id_that_comes_back_as_text_is_the_same_id() -> None:
    assert decode(json.dumps(reply("1")).encode(), 1) == ["0x1"]
    assert decode(json.dumps([reply("2", "b"), reply("1", "a")]).encode(), 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("boom", RpcFault(0, "boom")),
        ({}, RpcFault(0, "")),
        ({"code": "x", "message": 5}, RpcFault(0, "")),
        ({"code": True, "message": "m"}, RpcFault(0, "m")),
        ({"code": 1, "message": "m" * 999}, RpcFault(1, "m" * 200)),
    ],
    ids=["text", "empty", "wrong types", "boolean code", "long message"],
)
def test_odd_error_objects_become_faults(error: object, fault: RpcFault) -> None:
    assert decode(json.dumps({"id": 1, "error": error}).encode(), 1) == [fault]


REVERTS = [
    {"code": 3, "message": "execution reverted: not an NFT"},
    {"code": 3, "message": "execution reverted: rate limit"},
    {"code": 3, "message": "execution reverted: header not found"},
    {"code": -32000, "message": "execution reverted: too many requests"},
    {"code": -32603, "message": "VM Exception while processing transaction: reverted with reason string 'x'"},
    {"code": -32015, "message": "VM execution error."},
    {"code": -32000, "message": "invalid opcode: INVALID"},
    {"code": -32000, "message": "rate limit", "data": "0x08c379a0" + "00" * 31 + "20"},
]


@pytest.mark.parametrize("error", REVERTS, ids=lambda error: error["message"])
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_a_revert_is_final_whatever_its_text(method: str, error: dict[str, object]) -> None:
    (fault,) = decode(json.dumps({"id": 1, "error": error}).encode(), 1)
    assert is_answer(RpcCall(method), fault)
    assert not is_limit(RpcCall(method), fault)


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_blockNumber", "eth_getLogs", "eth_getCode"])
def test_only_a_call_that_runs_code_can_revert(method: str) -> None:
    assert not is_answer(RpcCall(method), RpcFault(3, "execution reverted"))


NO_ANSWERS = {
    -32603: "Internal error",
    -32011: "no backends available for method",
    -32046: "Cannot fulfill request",
    4444: "pruned history unavailable",
    -32601: "the method does not exist/is not available",
    -32004: "method not supported",
    -32002: "request timed out",
    -32001: "block not found",
    -32007: "50/second request limit reached",
    -32005: "project ID request rate exceeded",
    429: "compute units exhausted",
    -32029: "over the limit",
    401: "unauthorized",
}


@pytest.mark.parametrize(("code", "message"), NO_ANSWERS.items(), ids=NO_ANSWERS.values())
@pytest.mark.parametrize("method", ["eth_call", "eth_getTransactionReceipt", "eth_blockNumber", "eth_getLogs"])
def test_any_other_fault_has_another_endpoint_asked(method: str, code: int, message: str) -> None:
    assert not is_answer(RpcCall(method), RpcFault(code, message))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32005, "limit exceeded"),
        (-32602, "query exceeds max block range 1000"),
        (-32000, "block range is too wide"),
        (-32600, "eth_getLogs is limited to a 10,000 range"),
        (-32614, "eth_getLogs is limited to 5"),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
    ],
)
def test_a_complaint_about_the_range_of_logs_is_an_answer(code: int, message: str) -> None:
    assert is_answer(RpcCall("eth_getLogs"), RpcFault(code, message))
    assert not is_answer(RpcCall("eth_getTransactionReceipt"), RpcFault(code, message))


@pytest.mark.parametrize("message", ["nonce too low", "already known", "insufficient funds for gas * price + value"])
def test_what_every_node_says_of_a_transaction_is_an_answer(message: str) -> None:
    assert is_answer(RpcCall("eth_sendRawTransaction"), RpcFault(-32000, message))


@pytest.mark.parametrize(
    ("method", "code", "message", "limit"),
    [
        ("eth_blockNumber", 429, "anything", True),
        ("eth_blockNumber", -32000, "daily request count exceeded, request rate limited", True),
        ("eth_blockNumber", -32005, "limit exceeded", True),
        ("eth_getLogs", -32005, "query returned more than 10000 results", False),
        ("eth_getLogs", -32005, "project ID request rate exceeded", True),
        ("eth_call", -32029, "over the limit", True),
        # Some nodes give a contract's reason alone, without the word "reverted".
        ("eth_call", -32000, "rate limit", False),
        ("eth_blockNumber", -32603, "internal error", False),
    ],
)
def test_a_limit_of_the_service_is_told_by_what_no_stranger_writes(
    method: str, code: int, message: str, limit: bool
) -> None:
    assert is_limit(RpcCall(method), RpcFault(code, message)) is limit


def test_a_result_whose_length_strangers_choose_is_an_answer_even_when_too_long() -> None:
    for method in ("eth_call", "eth_getLogs", "eth_getTransactionReceipt"):
        assert is_answer(RpcCall(method), TOO_LARGE)
    # No node can make us believe that it was we who stopped reading.
    assert not decode(b'{"id":1,"error":{"code":-1,"message":"m"}}', 1)[0].is_too_large  # type: ignore[attr-defined]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["id", "result", "error", "0x1"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["id", "result", "error", "code", "message"]), inner, max_size=4)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.integers(1, 3),
)
def test_no_body_causes_another_error(body: bytes, count: int) -> None:
    try:
        results = decode(body, count)
    except MalformedReply:
        return
    assert len(results) == count
