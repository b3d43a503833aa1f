"""Stops new connections on a listening socket before it is closed, so that none in its backlog is reset.

Closing a listening socket resets the connections that wait in its backlog or finish their handshake there, although
their clients count as connected and may have sent a request.
"""

import contextlib
import socket
import struct
from array import array

# Linux (socket(7)); Python has no name for it.
_SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header (RFC 9293 section 3.1): drop a segment with SYN (bit 2 of byte 13), pass all others.
_LOAD_BYTE, _JUMP_IF_ANY_BIT, _RETURN = 0x30, 0x45, 0x06
_FILTER = ((_LOAD_BYTE, 0, 0, 13), (_JUMP_IF_ANY_BIT, 0, 1, 0x02), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF))


def refuse_new_connections(listener: socket.socket) -> None:
    """Make the kernel drop all new connections, in every process that shares this socket, permanently.

    Handshakes in progress finish. The client retries after a second and reaches whoever listens then. On kernels
    without such filters (gVisor, for example) this does nothing.
    """
    code = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER))
    address, _ = code.buffer_info()
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), address))
