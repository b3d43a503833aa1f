"""JSON-RPC 2.0 as bytes: calls in, request bodies out; reply bodies in, results or faults out (pure).

https://www.jsonrpc.org/specification. Nothing is sent here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

# geth and most others: 3 with revert data, else text only; OpenEthereum, Nethermind: -32015.
_REVERT_CODES = frozenset({3, -32015})
_REVERT_TEXT = re.compile(r"revert|invalid opcode|bad instruction|invalid jump|stack underflow|out of gas", re.I)

# Conditions of the endpoint, not answers to the call: another endpoint may well answer. -32005 is left out on
# purpose: for eth_getLogs it means "too many results", which a smaller range cures and another endpoint does not.
_ENDPOINT_CODES = frozenset({429, -32016, -32029})
_ENDPOINT_TEXT = re.compile(
    r"rate.?limit|too many requests|request count exceeded|compute units|header not found|missing trie node", re.I
)


class MalformedReply(Exception):
    """The body is not the reply to the calls that were sent; the text says which rule it breaks."""


class BatchRefused(Exception):
    """A batch was answered by one error object: this endpoint does not take batches."""


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One call: method and positional parameters (JSON values)."""

    method: str
    params: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class RpcFault:
    """The error object of one call, as a value. `message` is for logs only."""

    code: int
    message: str

    @property
    def is_revert(self) -> bool:
        """True when the contract refused the call, so any other node would say the same."""
        return self.code in _REVERT_CODES or _REVERT_TEXT.search(self.message) is not None

    @property
    def is_endpoint_condition(self) -> bool:
        """True when the endpoint is limited or lags behind, so that another one should be asked."""
        return self.code in _ENDPOINT_CODES or _ENDPOINT_TEXT.search(self.message) is not None


def encode(calls: Sequence[RpcCall]) -> bytes:
    """Request body: an object for one call, an array for more; ids are positions."""
    objects = [
        {"jsonrpc": "2.0", "id": position, "method": call.method, "params": call.params}
        for position, call in enumerate(calls)
    ]
    return orjson.dumps(objects[0] if len(objects) == 1 else objects)


def decode(body: bytes, count: int) -> list[object]:
    """Results in the order of the `count` calls, each a JSON value or an RpcFault.

    Raises MalformedReply for anything that is not exactly one reply per call, BatchRefused when several calls
    were answered by one error object.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedReply("not JSON") from None
    if count == 1:
        return [_decode_item(reply, expected_id=0)]
    if isinstance(reply, dict) and isinstance(reply.get("error"), dict):
        fault = _decode_fault(reply["error"])
        if fault.is_endpoint_condition:
            return [fault] * count
        raise BatchRefused(f"code {fault.code}")
    if not isinstance(reply, list):
        raise MalformedReply("batch answered by something else than an array")
    results: dict[int, object] = {}
    for item in reply:
        position = item.get("id") if isinstance(item, dict) else None
        if type(position) is not int or not 0 <= position < count:
            raise MalformedReply("unknown id in a batch reply")
        if position in results:
            raise MalformedReply("duplicate id in a batch reply")
        results[position] = _decode_item(item, expected_id=position)
    if len(results) != count:
        raise MalformedReply("missing id in a batch reply")
    return [results[position] for position in range(count)]


def _decode_item(item: object, *, expected_id: int) -> object:
    if not isinstance(item, dict):
        raise MalformedReply("reply is not an object")
    error = item.get("error")
    if error is not None:
        # The id of an error may be null: the server could not read the request (specification, section 5).
        if item.get("id") not in (expected_id, None):
            raise MalformedReply("reply to another call")
        return _decode_fault(error)
    if type(item.get("id")) is not int or item["id"] != expected_id:
        raise MalformedReply("reply to another call")
    if "result" not in item:
        raise MalformedReply("neither result nor error")
    return item["result"]


def _decode_fault(error: object) -> RpcFault:
    if not isinstance(error, dict):
        return RpcFault(code=0, message=str(error)[:200])
    code, message = error.get("code"), error.get("message")
    return RpcFault(
        code=code if type(code) is int else 0,
        message=message[:200] if isinstance(message, str) else "",
    )
