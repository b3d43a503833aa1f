"""Records every TCP segment that this machine sends to one port, on all interfaces."""

import ctypes
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

_ALL = socket.ntohs(0x0003)  # ETH_P_ALL
_TCP = 6
_SYN, _ACK = 0x02, 0x10
# Socket filters (linux/socket.h, linux/filter.h).
_SO_ATTACH_FILTER = 26
_LOAD_BYTE, _LOAD_BYTE_AFTER_HEADER, _HEADER_LENGTH = 0x30, 0x50, 0xB1
_AND, _SHIFT_RIGHT, _JUMP, _JUMP_EQUAL, _RETURN = 0x54, 0x74, 0x05, 0x15, 0x06
# Code, jump if true, jump if false, value. Accepts TCP segments over IPv4 and IPv6 that have SYN and no ACK.
_ONLY_SYN = (
    (_LOAD_BYTE, 0, 0, 0),
    (_SHIFT_RIGHT, 0, 0, 4),
    (_JUMP_EQUAL, 0, 5, 4),
    (_LOAD_BYTE, 0, 0, 9),
    (_JUMP_EQUAL, 0, 9, _TCP),
    (_HEADER_LENGTH, 0, 0, 0),
    (_LOAD_BYTE_AFTER_HEADER, 0, 0, 13),
    (_JUMP, 0, 0, 4),
    (_JUMP_EQUAL, 0, 5, 6),
    (_LOAD_BYTE, 0, 0, 6),
    (_JUMP_EQUAL, 0, 3, _TCP),
    (_LOAD_BYTE, 0, 0, 40 + 13),
    (_AND, 0, 0, _SYN | _ACK),
    (_JUMP_EQUAL, 1, 0, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFF),
)


@dataclass
class Dialled:
    """Addresses of attempted connections, in order."""

    addresses: list[str] = field(default_factory=list)


def _destination(frame: bytes, protocol: int) -> tuple[str, int, int] | None:
    """Address, port and flags of a TCP segment (RFC 791, RFC 8200, RFC 9293)."""
    if protocol == 0x0800 and len(frame) >= 40 and frame[9] == _TCP:
        start, address = (frame[0] & 0x0F) * 4, frame[16:20]
    elif protocol == 0x86DD and len(frame) >= 60 and frame[6] == _TCP:
        start, address = 40, frame[24:40]
    else:
        return None
    _, port = struct.unpack_from("!HH", frame, start)
    return str(ip_address(address)), port, frame[start + 13]


@contextmanager
def dials_to(port: int) -> Iterator[Dialled]:
    """Watch while the block runs. Raises PermissionError without the permission to capture."""
    dialled = Dialled()
    # SOCK_DGRAM: the network layer's packet without the link's own header, whatever that is.
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, _ALL) as sock:
        # A busy machine sends more than the socket has room for while nobody reads it.
        instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in _ONLY_SYN)
        filter_ = ctypes.create_string_buffer(instructions, len(instructions))
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_ONLY_SYN), ctypes.addressof(filter_))
        )
        sock.settimeout(0.05)
        stop = threading.Event()

        def watch() -> None:
            while True:
                try:
                    frame, (_, protocol, kind, *_) = sock.recvfrom(65535)
                except TimeoutError:
                    if stop.is_set():
                        return
                    continue
                found = _destination(frame, protocol) if kind == socket.PACKET_OUTGOING else None
                if found and found[1] == port and found[2] & (_SYN | _ACK) == _SYN:
                    dialled.addresses.append(found[0])

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield dialled
        finally:
            stop.set()
            thread.join()
