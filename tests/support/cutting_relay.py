"""A TCP relay in front of a server that resets its first long answer in the middle, as a network does."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() resets


@dataclass
class CuttingRelay:
    """`url`: of the relay. `cut_after`: bytes of one connection's answers after which it is reset, once."""

    url: str
    target: tuple[str, int]
    cut_after: int
    has_cut: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, client: socket.socket) -> None:
        """Relay one connection until either side ends it."""
        with client, socket.create_connection(self.target) as server:
            back = threading.Thread(target=self._forward, args=(client, server), daemon=True)
            back.start()
            sent = 0
            with suppress(OSError):
                while piece := server.recv(_PIECE):
                    client.sendall(piece)
                    sent += len(piece)
                    if sent > self.cut_after and self._may_cut():
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        break
            with suppress(OSError):
                client.shutdown(socket.SHUT_RD)
            back.join()

    def _may_cut(self) -> bool:
        with self.lock:
            if self.has_cut.is_set():
                return False
            self.has_cut.set()
            return True

    @staticmethod
    def _forward(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(_PIECE):
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_relay(url: str, *, cut_after: int) -> Iterator[CuttingRelay]:
    """A relay to the server at `url`, on a free port of 127.0.0.1."""
    parts = urlsplit(url)
    listener = socket.create_server(("127.0.0.1", 0))
    relay = CuttingRelay(
        f"http://127.0.0.1:{listener.getsockname()[1]}", (parts.hostname or "", parts.port or 80), cut_after
    )

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=relay.serve, args=(client,), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield relay
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
