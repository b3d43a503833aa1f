"""JSON-RPC replies: what counts as an answer, and what as a failure of the endpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.chain.jsonrpc import BatchRefused, MalformedReply, RpcCall, RpcFault, decode, encode


def reply(position: object, result: object = "0x1") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": position, "result": result}


def failed(position: object, code: int = -32000, message: str = "no") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": position, "error": {"code": code, "message": message}}


def test_one_call_is_an_object_and_more_are_an_array() -> None:
    call = RpcCall("eth_call", ({"to": "0x1"}, "latest"))
    single = {"jsonrpc": "2.0", "id": 0, "method": "eth_call", "params": [{"to": "0x1"}, "latest"]}
    assert json.loads(encode([call])) == single
    assert json.loads(encode([call, RpcCall("eth_chainId")])) == [
        single,
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
    ]


def test_results_come_in_the_order_of_the_calls() -> None:
    body = json.dumps([reply(2, "c"), reply(0, "a"), reply(1, None)]).encode()
    assert decode(body, 3) == ["a", None, "c"]


def test_an_error_of_one_call_is_a_value() -> None:
    body = json.dumps([reply(0), failed(1, 3, "execution reverted")]).encode()
    assert decode(body, 2) == ["0x1", RpcFault(3, "execution reverted")]
    assert decode(json.dumps(failed(None)).encode(), 1) == [RpcFault(-32000, "no")]


MALFORMED = {
    "not json": (b"<html>", 1),
    "empty": (b"", 2),
    "text": (b'"0x1"', 1),
    "null": (b"null", 2),
    "array for one call": (json.dumps([reply(0)]).encode(), 1),
    "other id": (json.dumps(reply(1)).encode(), 1),
    "text id": (json.dumps(reply("0")).encode(), 1),
    "boolean id": (json.dumps([reply(0), reply(True)]).encode(), 2),
    "no result": (b'{"jsonrpc":"2.0","id":0}', 1),
    "error of another call": (json.dumps(failed(7)).encode(), 1),
    "result object for a batch": (json.dumps(reply(0)).encode(), 2),
    "missing id": (json.dumps([reply(0)]).encode(), 2),
    "duplicate id": (json.dumps([reply(0), reply(0)]).encode(), 2),
    "unknown id": (json.dumps([reply(0), reply(2)]).encode(), 2),
    "negative id": (json.dumps([reply(0), reply(-1)]).encode(), 2),
    "extra item": (json.dumps([reply(0), reply(1), reply(2)]).encode(), 2),
    "items that are no objects": (b"[1,2]", 2),
    "deeply nested": (b"[" * 100_000, 2),
}


@pytest.mark.parametrize(("body", "count"), MALFORMED.values(), ids=MALFORMED.keys())
def test_anything_but_one_reply_per_call_is_malformed(body: bytes, count: int) -> None:
    with pytest.raises(MalformedReply):
        decode(body, count)


def test_one_error_object_for_a_batch_means_no_batches() -> None:
    with pytest.raises(BatchRefused):
        decode(json.dumps(failed(None, -32600, "batch not supported")).encode(), 2)


def test_a_rate_limit_for_a_whole_batch_does_not_mean_no_batches() -> None:
    faults = decode(json.dumps(failed(None, 429, "slow down")).encode(), 2)
    assert [fault.is_endpoint_condition for fault in faults] == [True, True]


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
    assert decode(json.dumps({"id": 0, "error": error}).encode(), 1) == [fault]


@pytest.mark.parametrize(
    ("code", "message", "revert", "endpoint"),
    [
        (3, "execution reverted: not an NFT", True, False),
        (-32000, "execution reverted", True, False),
        (-32603, "VM Exception while processing transaction: reverted with reason string 'x'", True, False),
        (-32015, "VM execution error.", True, False),
        (-32000, "invalid opcode: INVALID", True, False),
        (429, "anything", False, True),
        (-32000, "daily request count exceeded, request rate limited", False, True),
        (-32016, "over the limit", False, True),
        (-32000, "header not found", False, True),
        (-32000, "missing trie node d0b1 (path )", False, True),
        (-32005, "query returned more than 10000 results", False, False),
        (-32601, "the method x does not exist", False, False),
        (-32603, "internal error", False, False),
    ],
)
def test_faults_of_the_contract_and_of_the_endpoint_are_told_apart(
    code: int, message: str, revert: bool, endpoint: bool
) -> None:
    fault = RpcFault(code, message)
    assert (fault.is_revert, fault.is_endpoint_condition) == (revert, endpoint)


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
    except (MalformedReply, BatchRefused):
        return
    assert len(results) == count
