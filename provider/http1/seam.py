"""Sends the body of a reply below Tornado's IOStream.

The handler stays attached, so keep-alive, pipelining, drain, access log and idle timeouts remain Tornado's. It only
needs the number of body bytes that bypassed it. This relies on undocumented attributes of Tornado:
`tests/contract/test_tornado_seam.py` fails if a release changes them, and `bypassable` then makes bodies be copied.
"""

import socket

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream


def bypassable(connection: HTTP1Connection) -> bool:
    """True if the body may be sent below this connection: the head has left, and nothing waits behind it."""
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
    """True if the head, written by Tornado, announced chunks."""
    return connection._chunking_output


def count_body(connection: HTTP1Connection, count_bytes: int) -> None:
    """Report bytes sent past Tornado, so that its own check of Content-Length works at the end."""
    left = connection._expected_content_remaining
    if left is not None:
        connection._expected_content_remaining = left - count_bytes
