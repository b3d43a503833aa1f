"""The messages between workers and the nonce writer (pure): a list of uses, and the list of their answers.

Each message is JSON in one packet of a SOCK_SEQPACKET socket. Both ends are processes of one server and one user.
"""

from collections.abc import Sequence

import orjson

from provider.auth.nonce_rule import NonceUse
from provider.auth.signed_text import OpenText
from provider.errors import NonceRefused, ProviderError, StoreError

MAX_USES = 256
"""Most uses in one message."""
MAX_MESSAGE_BYTES = 256 * 1024
"""Enough for `MAX_USES` uses: each has at most 107 characters of nonce, an address and a digest."""


def encode_uses(uses: Sequence[NonceUse]) -> bytes:
    """Return the message that requests these uses."""
    return orjson.dumps([(use.address, use.nonce, _fields(use.text), use.unknown_past) for use in uses])


def decode_uses(message: bytes) -> list[NonceUse]:
    """Parse the message of `encode_uses`. Raises ValueError for any other."""
    try:
        return [
            NonceUse(_text(address), _text(nonce), None if text is None else OpenText(*text), bool(unknown_past))
            for address, nonce, text, unknown_past in orjson.loads(message)
        ]
    except TypeError:
        raise ValueError("not uses of nonces") from None


def encode_answers(answers: Sequence[NonceRefused | None]) -> bytes:
    """Return the message that answers each use: None if it is durable, else the refusal."""
    return orjson.dumps([None if refused is None else str(refused) for refused in answers])


def encode_failure(detail: str) -> bytes:
    """Return the message that says why none of the uses could be stored."""
    return orjson.dumps({"failed": detail})


def decode_answers(message: bytes, count: int) -> list[ProviderError | None]:
    """Return the error of each of `count` uses, or None. Raises ValueError if the message does not answer them."""
    told = orjson.loads(message)
    if isinstance(told, dict) and isinstance(told.get("failed"), str):
        return [StoreError(detail=told["failed"]) for _ in range(count)]
    if not isinstance(told, list) or len(told) != count:
        raise ValueError("not an answer to each use")
    return [None if refused is None else NonceRefused(_text(refused)) for refused in told]


def _fields(text: OpenText | None) -> tuple[str, str, bool] | None:
    return None if text is None else (text.digest, text.highest, text.may_begin)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value
