"""Sending a reply's body below Tornado's IOStream, and all that leans on what Tornado does not document about it.

The handler stays attached, so keep-alive, pipelining, drain, access log and idle timeouts remain Tornado's own; it only
has to hear how many bytes of body went past it. `tests/contract/test_tornado_seam.py` fails when a release moves the
ground; `bypassable` then says no and bodies are copied.
"""

import socket

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream


def bypassable(connection: HTTP1Connection) -> bool:
    """May the body be sent below this connection? Its head must have left, with nothing waiting behind it."""
    stream = connection.stream
    return (
        isinstance(stream, IOStream)
        and not isinstance(stream, SSLIOStream)
        and isinstance(stream.socket, socket.socket)
        and not stream.closed()
        and not stream.writing()
        and isinstance(getattr(connection, "_chunking_output", None), bool)
        and isinstance(getattr(connection, "_expected_content_remaining", False), int | None)
    )


def is_chunked(connection: HTTP1Connection) -> bool:
    """Did the head, which Tornado wrote, announce chunks?"""
    return connection._chunking_output


def count_body(connection: HTTP1Connection, count_bytes: int) -> None:
    """Tell Tornado of body bytes sent past it, so that its own check of Content-Length holds at the end."""
    left = connection._expected_content_remaining
    if left is not None:
        connection._expected_content_remaining = left - count_bytes
