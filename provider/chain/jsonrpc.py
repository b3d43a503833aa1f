"""JSON-RPC 2.0 as bytes: calls in, request bodies out; reply bodies in, results or faults out (pure).

https://www.jsonrpc.org/specification. Nothing is sent here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from provider.wire.json import read_json
from provider.wire.text import digits

# geth and most others: 3 with revert data, else text only; OpenEthereum, Nethermind: -32015.
_REVERT_CODES = frozenset({3, -32015})
_REVERT_TEXT = re.compile(r"revert|invalid opcode|bad instruction|invalid jump|stack underflow|out of gas", re.I)
# At least the four bytes that select an error of the contract.
_REVERT_DATA = re.compile(r"0x(?:[0-9a-f]{2}){4,}", re.I)

_LIMIT_CODES = frozenset({429, -32005, -32007, -32016, -32029})
_LIMIT_TEXT = re.compile(
    r"rate.?limit|request rate|rate exceeded|too many requests|request (?:count|limit)|compute units|quota"
    r"|per second|daily",
    re.I,
)
# Of eth_getLogs: geth, Erigon, Infura, Alchemy, QuickNode, Ankr and others each have a text of their own.
_RANGE_CODES = frozenset({-32005, -32614})
_RANGE_TEXT = re.compile(r"range|results|response size|too large|too many (?:logs|blocks)|limited to|exceeds", re.I)
# Of eth_sendRawTransaction: what every node would say of this transaction.
_TRANSACTION_TEXT = re.compile(
    r"nonce|already known|known transaction|already exists|insufficient funds|underpriced|intrinsic gas|fee cap", re.I
)

_TOO_LARGE = -1  # no code of JSON-RPC
_RUN_CODE = frozenset({"eth_call", "eth_estimateGas"})
SIZED_BY_STRANGERS = frozenset({"eth_call", "eth_getLogs", "eth_getTransactionReceipt"})
"""Methods whose results are as long as some contract made them."""


class MalformedReply(Exception):
    """The body is not a reply to the calls that were sent. The text names the rule that it breaks."""


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One call: method and positional parameters (JSON values).

    `foreign`: it runs code that a stranger chose. Such a call never shares a request with others, its reply has a lower
    size limit, and it does not affect the health of an endpoint.
    `max_reply_bytes`: limit of the whole reply; None for the limit of all calls.
    """

    method: str
    params: tuple[object, ...] = ()
    foreign: bool = field(default=False, compare=False)
    max_reply_bytes: int | None = field(default=None, compare=False)

    @property
    def target(self) -> str | None:
        """The stranger's contract that a foreign call runs; None for all other calls."""
        first = self.params[0] if self.foreign and self.params else None
        return str(first.get("to")) if isinstance(first, dict) else None


@dataclass(frozen=True, slots=True)
class RpcFault:
    """The error object of one call, as a value. `message` is for logs only: contracts choose the text of a revert."""

    code: int
    message: str
    has_revert_data: bool = field(default=False, compare=False)

    @property
    def is_too_large(self) -> bool:
        """True if the result was longer than the limit."""
        return self.code == _TOO_LARGE

    @property
    def is_revert(self) -> bool:
        """True if the contract refused the call or its result was too long. Any other node would answer the same."""
        return (
            self.code in _REVERT_CODES
            or self.has_revert_data
            or self.is_too_large
            or _REVERT_TEXT.search(self.message) is not None
        )


TOO_LARGE = RpcFault(_TOO_LARGE, "reply larger than the limit")


def is_answer(call: RpcCall, result: object) -> bool:
    """Tell whether any healthy node would give this result. If not, another endpoint should be asked.

    Only these faults are answers: a revert, a complaint about the range of eth_getLogs, and a complaint about the
    transaction of eth_sendRawTransaction.
    """
    if not isinstance(result, RpcFault):
        return True
    if call.method in _RUN_CODE:
        return result.is_revert
    if result.is_too_large:
        return True
    if call.method == "eth_getLogs":
        return _is_about_range(result)
    return call.method == "eth_sendRawTransaction" and _TRANSACTION_TEXT.search(result.message) is not None


def is_limit(call: RpcCall, result: object) -> bool:
    """Tell whether the endpoint limits the number of requests. For calls that run code, only the error code counts."""
    if not isinstance(result, RpcFault) or is_answer(call, result):
        return False
    if result.code in _LIMIT_CODES:
        return True
    return call.method not in _RUN_CODE and _LIMIT_TEXT.search(result.message) is not None


def _is_about_range(fault: RpcFault) -> bool:
    if _LIMIT_TEXT.search(fault.message) is not None:
        return False
    return fault.code in _RANGE_CODES or _RANGE_TEXT.search(fault.message) is not None


def encode(calls: Sequence[RpcCall]) -> bytes:
    """Return the request body: an object for one call, an array for more. Ids count from 1, as some nodes refuse 0."""
    objects = [
        {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
        for number, call in enumerate(calls, start=1)
    ]
    return orjson.dumps(objects[0] if len(objects) == 1 else objects)


def decode(body: bytes, count: int) -> list[object]:
    """Return the results in the order of the `count` calls, each a JSON value or an RpcFault.

    Raises MalformedReply for anything that is not exactly one reply per call.
    """
    try:
        reply = read_json(body)
    except ValueError:
        raise MalformedReply("not JSON") from None
    if count == 1:
        return [_decode_item(reply, expected_id=1)]
    if not isinstance(reply, list):
        raise MalformedReply("batch answered by something else than an array")
    results: dict[int, object] = {}
    for item in reply:
        number = _id_of(item)
        if number is None or not 1 <= number <= count:
            raise MalformedReply("unknown id in a batch reply")
        if number in results:
            raise MalformedReply("duplicate id in a batch reply")
        results[number] = _decode_item(item, expected_id=number)
    if len(results) != count:
        raise MalformedReply("missing id in a batch reply")
    return [results[number] for number in range(1, count + 1)]


def _id_of(item: object) -> int | None:
    """Return the id of a reply. Some nodes return it as text."""
    number = item.get("id") if isinstance(item, dict) else None
    if isinstance(number, str):
        return digits(number, max_chars=9)
    return number if type(number) is int else None


def _decode_item(item: object, *, expected_id: int) -> object:
    if not isinstance(item, dict):
        raise MalformedReply("reply is not an object")
    error = item.get("error")
    # The id of an error may be null: the server could not read the request (specification, section 5).
    if _id_of(item) != expected_id and (error is None or item.get("id") is not None):
        raise MalformedReply("reply to another call")
    if error is not None:
        return _decode_fault(error)
    if "result" not in item:
        raise MalformedReply("neither result nor error")
    return item["result"]


def _decode_fault(error: object) -> RpcFault:
    if not isinstance(error, dict):
        return RpcFault(code=0, message=str(error)[:200])
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    return RpcFault(
        code=code if type(code) is int and code != _TOO_LARGE else 0,
        message=message[:200] if isinstance(message, str) else "",
        has_revert_data=isinstance(data, str) and _REVERT_DATA.fullmatch(data) is not None,
    )
