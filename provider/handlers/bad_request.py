"""The answer to what cannot be read as a request: there is no endpoint to give it."""

from random import getrandbits

import orjson

from provider.errors import ProviderError
from provider.handlers.base import Frame


def refusal_of_unread(frame: Frame, error: ProviderError) -> bytes:
    """A whole reply after which the connection ends; counted and logged as a request of the endpoint `unknown`."""
    request_id = f"{getrandbits(64):016x}"
    frame.metrics.requests.answer("unknown", error.http_status, 0.0)
    frame.metrics.requests.errors.add(error.code)
    if frame.access_log.write is not None:
        facts = {"request_id": request_id, "endpoint": "unknown", "status": error.http_status, "outcome": "refused"}
        frame.access_log.write({**facts, "seconds": 0.0, "code": error.code})
    body = orjson.dumps(error.body(), option=orjson.OPT_APPEND_NEWLINE)
    head = (
        f"HTTP/1.1 {error.http_status} Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
