"""Sends one request and reads one head on one connection; returns the bytes that came after the head.

This module neither chooses the connection nor judges the answer.
"""

import asyncio

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.connection import Connection
from provider.upstream.response_head import MAX_HEAD_BYTES, ResponseHead, find_head_end, parse_head

# Heads have 300-1500 bytes. Body bytes that arrive in the same read are handed out first.
_HEAD_READ_BYTES = 16 * 1024
# RFC 9110 section 15.2 sets no limit; Go's net/http accepts 5.
_MAX_INTERIM_HEADS = 8

# Filled and copied from within a single call, on the loop's thread.
_scratch = memoryview(bytearray(_HEAD_READ_BYTES))


class ConnectionWasStale(Exception):
    """The origin had already closed the connection: not one byte of an answer arrived."""


async def exchange(
    connection: Connection, method: str, payload: bytes, *, first_byte_timeout_seconds: float
) -> tuple[ResponseHead, bytes]:
    """Send a request. Returns the final head and the bytes after it. On failure the connection is closed.

    Raises:
        ConnectionWasStale: the connection was lost before the first byte of an answer.
        UpstreamUnreachable: the connection was lost within the head.
        UpstreamTimedOut: the head was not complete in time.
        UpstreamError: the head is too large or cannot be trusted.
    """
    received = bytearray()
    # A plain timer: asyncio.timeout costs several times as much, and all waits here are on this connection.
    timer = asyncio.get_running_loop().call_later(first_byte_timeout_seconds, connection.expire)
    try:
        await connection.send_all(payload)
        head = await _read_head(connection, method, received)
    except TimeoutError as exc:
        connection.close()
        raise UpstreamTimedOut(detail="origin: first-byte limit passed") from exc
    except OSError as exc:
        connection.close()
        if not received:
            raise ConnectionWasStale from exc
        raise UpstreamUnreachable(detail="origin: connection lost in the head") from exc
    except BaseException:
        connection.close()
        raise
    finally:
        timer.cancel()
    return head, bytes(received)


async def _read_head(connection: Connection, method: str, received: bytearray) -> ResponseHead:
    """Read up to the end of the final head. Bytes that follow it stay in `received`."""
    for _ in range(_MAX_INTERIM_HEADS + 1):
        looked_at = 0
        while (end := find_head_end(received, looked_at)) < 0:
            looked_at = len(received)
            if looked_at > MAX_HEAD_BYTES:
                raise UpstreamError(detail="origin: head too large")
            received += await _receive(connection)
        if end > MAX_HEAD_BYTES:
            raise UpstreamError(detail="origin: head too large")
        head = parse_head(received[:end], method=method)
        del received[:end]
        if head.status == 101:
            raise UpstreamError(detail="origin: switched protocols unasked")
        if not head.is_interim:
            return head
    raise UpstreamError(detail="origin: too many interim answers")


async def _receive(connection: Connection) -> memoryview:
    while (count := connection.recv_now(_scratch)) is None:
        await connection.wait_readable()
    if count == 0:
        raise ConnectionResetError("closed by the origin")
    return _scratch[:count]
