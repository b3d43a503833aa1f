"""A listening socket that is to be closed: no connection may begin that nobody would accept.

What waits in the queue of a listening socket, or ends its handshake there, is reset when the socket is closed, although
its client has been told that it is connected and may have sent a request.
"""

import contextlib
import socket
import struct
from array import array

# Linux (socket(7)); Python's module does not name it.
_SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header (RFC 9293 section 3.1): a segment with SYN (bit 2 of byte 13) is dropped, others pass.
_LOAD_BYTE, _JUMP_IF_ANY_BIT, _RETURN = 0x30, 0x45, 0x06
_FILTER = ((_LOAD_BYTE, 0, 0, 13), (_JUMP_IF_ANY_BIT, 0, 1, 0x02), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF))


def refuse_new_connections(listener: socket.socket) -> None:
    """From here on the kernel drops what would begin a connection, in every process that has this socket, for good.

    Handshakes under way come to their end. The client asks again after a second, and meets whoever listens by then.
    Where there are no such filters (gVisor, say) nothing happens.
    """
    code = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER))
    address, _ = code.buffer_info()
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), address))
