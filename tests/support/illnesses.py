"""Faults of real nodes, as manners of an `RpcProxy` in front of a healthy node."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.support.rpc_proxy import Manner

Call = dict[str, Any]
RECEIPT, CALL = "eth_getTransactionReceipt", "eth_call"


def ask(node_url: str, sent: object) -> Any:
    """Ask the healthy node."""
    asked = urllib.request.Request(node_url, json.dumps(sent).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as reply:
        return json.loads(reply.read())


def changing(change: Callable[[Call, Call], Call]) -> Callable[[str], Manner]:
    """Pass each reply of the node through `change`, with its call."""

    def on(node_url: str) -> Manner:
        def manner(sent: Any) -> tuple[int, bytes]:
            calls = sent if isinstance(sent, list) else [sent]
            replies = {reply["id"]: reply for reply in ask(node_url, calls)}
            changed = [change(call, replies[call["id"]]) for call in calls]
            return 200, json.dumps(changed if isinstance(sent, list) else changed[0]).encode()

        return manner

    return on


def fault(code: int, message: str, *methods: str) -> Callable[[str], Manner]:
    """Answer calls of these methods (of all, if none is named) with an error."""

    def change(call: Call, reply: Call) -> Call:
        if methods and call["method"] not in methods:
            return reply
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}

    return changing(change)


def result(value: object, method: str) -> Callable[[str], Manner]:
    """Answer calls of this method with `value`."""

    def change(call: Call, reply: Call) -> Call:
        return {"jsonrpc": "2.0", "id": call["id"], "result": value} if call["method"] == method else reply

    return changing(change)


def always(status: int, body: str) -> Callable[[str], Manner]:
    """Answer every request with this."""
    return lambda node_url: lambda sent: (status, body.encode())


def _status_for(method: str) -> Callable[[str], Manner]:
    def on(node_url: str) -> Manner:
        def manner(sent: Any) -> tuple[int, bytes] | None:
            calls = sent if isinstance(sent, list) else [sent]
            return (500, b"") if any(call["method"] == method for call in calls) else None

        return manner

    return on


ILLNESSES: dict[str, Callable[[str], Manner]] = {
    "internal error": fault(-32603, "Internal error", RECEIPT),
    "no backends": fault(-32011, "no backends available for method", RECEIPT),
    "cannot fulfil": fault(-32046, "Cannot fulfill request", RECEIPT, CALL),
    "request timed out": fault(-32000, "request timed out", RECEIPT),
    "transaction indexing": fault(-32000, "transaction indexing is in progress", RECEIPT),
    "pruned history": fault(4444, "pruned history unavailable", RECEIPT),
    "historical state": fault(-32000, "historical state 0xab is not available", CALL),
    "header not found": fault(-32000, "header not found", CALL),
    "block not found": fault(-32001, "block not found", CALL),
    "unknown block": fault(-39001, "unknown block", CALL),
    "missing trie node": fault(-32000, "missing trie node d0b1 (path )", CALL),
    "method not available": fault(-32601, "the method eth_call does not exist/is not available", CALL),
    "method not supported": fault(-32004, "method not supported", RECEIPT),
    "resource unavailable": fault(-32002, "resource unavailable", RECEIPT, CALL),
    "requests per second": fault(-32007, "50/second request limit reached", RECEIPT, CALL),
    "rate of a project": fault(-32005, "project ID request rate exceeded"),
    "limit of compute units": fault(429, "compute units exhausted"),
    "unauthorised": fault(-32000, "unauthorized: project not found"),
    "receipts by HTTP 500": _status_for(RECEIPT),
    "receipts are not there yet": result(None, RECEIPT),
    "contracts are not there yet": result("0x", CALL),
    "another chain": result("0x1", "eth_chainId"),
    "HTTP 429": always(429, ""),
    "HTTP 503": always(503, "upstream is down"),
    "HTTP 401": always(401, "invalid key"),
    "HTML": always(200, "<html>welcome</html>"),
    "empty body": always(200, ""),
}


def _error(code: int, message: str) -> Call:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}


BATCH_REFUSALS: dict[str, tuple[int, str]] = {
    "error object": (200, json.dumps(_error(-32600, "batch is not supported"))),
    "bad request as HTML": (400, "<html>bad request</html>"),
    "status 500 with an object": (500, json.dumps({"error": {"code": 31, "message": "too many calls in a batch"}})),
    "status 501 as HTML": (501, "<html>not implemented</html>"),
    "status 403": (403, "<html>forbidden</html>"),
    "status 429": (429, json.dumps(_error(429, "batch too large"))),
    "array of one error without id": (200, json.dumps([_error(-32600, "no batches")])),
    "fewer items": (200, json.dumps([{"jsonrpc": "2.0", "id": 1, "result": "0x2324"}])),
    "empty array": (200, "[]"),
    "empty body": (200, ""),
    "object without error": (200, json.dumps({"jsonrpc": "2.0", "id": 1})),
    "error as text": (200, json.dumps({"error": "batch requests are not supported"})),
}


def refusing_batches(refusal: str, *, above: int) -> Manner:
    """Refuse more than `above` calls in one request."""
    status, body = BATCH_REFUSALS[refusal]
    return lambda sent: (status, body.encode()) if isinstance(sent, list) and len(sent) > above else None
