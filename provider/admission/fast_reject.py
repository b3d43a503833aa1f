"""Refuses without parsing: a prepared reply to the head of a request (pure but for request ids).

While the loop is late, each refusal takes time from admitted requests. A refusal through a handler costs at least a
tenth of a download; one written where the head is read costs some microseconds.
"""

from functools import lru_cache
from random import getrandbits

from provider.wire.head import PLAIN_BYTES

# Requests that arrive in masses: complete, without a body, and with nothing that changes the refusal.
_BEGIN = b"GET /api/services/download?"
_END = b"\r\n\r\n"
_DEPENDS = (
    *(b"content-length", b"transfer-encoding", b"expect", b"upgrade"),
    *(b"\norigin", b"\nx-request-id", b"\nconnection"),
)
_KEPT = b"\nconnection: keep-alive\r\n"
_REMEMBERED, _REMEMBERED_BYTES = 256, 1024


def is_plain_download(data: bytes) -> bool:
    """Tell whether `data` is one complete download request that a prepared refusal fits. Others go the ordinary way."""
    if not data.startswith(_BEGIN) or not data.endswith(_END) or data.translate(None, PLAIN_BYTES):
        return False
    # A line may end in LF alone. What follows the first LF would otherwise belong to another request.
    line_end = data.find(b"\n") - 1
    if not data.endswith(b" HTTP/1.1\r", 0, line_end + 1) or data.find(b"\r") != line_end:
        return False
    fields = data[line_end:]
    # Do not remember fields that identify the client.
    kept = len(fields) <= _REMEMBERED_BYTES and b"auth" not in fields.lower()
    return _are_plain(fields) if kept else _have_no_meaning(fields)


def _have_no_meaning(fields: bytes) -> bool:
    """Tell whether the header fields, including the line end before them, leave the refusal unchanged."""
    fields = fields.lower().replace(_KEPT, b"\n", 1)
    if fields.find(_END) != len(fields) - len(_END):
        return False
    if not fields.count(b"\r\n") == fields.count(b"\n") == fields.count(b"\r"):
        return False
    return b"\nhost:" in fields and not any(word in fields for word in _DEPENDS)


# A client sends the same fields with each request, and so do all clients that use the same library.
_are_plain = lru_cache(maxsize=_REMEMBERED)(_have_no_meaning)


class Answer:
    """A prepared refusal. Each copy sent has a request id of its own."""

    def __init__(self, *, status: int, reason: str, retry_after_seconds: int, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"Retry-After: {retry_after_seconds}\r\nContent-Length: {len(body)}\r\nX-Request-ID: "
        )
        self._before, self._after = head.encode("ascii"), b"\r\n\r\n" + body

    def __bytes__(self) -> bytes:
        return b"%b%016x%b" % (self._before, getrandbits(64), self._after)
