"""Consumers that send a request, read its head, and then read nothing for as long as they are held."""

import socket

from benchmarks.plans import ConnectionPlan, LoadFailed

RECEIVE_BUFFER_BYTES = 64 << 10
TIMEOUT_SECONDS = 30.0
HEAD_LIMIT_BYTES = 16 << 10


class Consumers:
    """Connections to one server; leaving the block closes them."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Consumers":
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()

    def add(self, plan: ConnectionPlan) -> None:
        """One more consumer, which sends the plan's first request and reads the head. Raises LoadFailed."""
        sock = socket.socket()
        self._sockets.append(sock)
        sock.settimeout(TIMEOUT_SECONDS)
        # Small, so that the server feels soon that nobody reads; set before the window is offered.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        try:
            sock.connect(("127.0.0.1", self._port))
            sock.sendall(plan.requests[0])
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD_LIMIT_BYTES:
                piece = sock.recv(1024)
                if not piece:
                    raise LoadFailed(f"{self._where()}: closed without an answer")
                head += piece
        except OSError as exc:
            raise LoadFailed(f"{self._where()}: {exc.strerror or exc}") from exc
        if int(head[9:12]) != plan.status:
            raise LoadFailed(f"{self._where()}: {head[:300]!r} instead of {plan.status}")

    def check(self) -> None:
        """Raises LoadFailed when the server gave one of them up, or sent it everything."""
        for sock in self._sockets:
            try:
                alive = bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except OSError:
                alive = False
            if not alive:
                raise LoadFailed(f"{self._where()}: the connection did not last")

    def _where(self) -> str:
        return f"{self._name}, slow consumer {len(self._sockets)}"
