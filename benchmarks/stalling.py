"""Consumers that send a request and read its head, but read nothing of the body while they are held."""

import socket

from benchmarks.plans import ConnectionPlan, LoadFailed

RECEIVE_BUFFER_BYTES = 64 << 10
TIMEOUT_SECONDS = 30.0
HEAD_LIMIT_BYTES = 16 << 10


class Consumers:
    """Connections to one server. They are closed when the block ends."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Consumers":
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()

    def add(self, plan: ConnectionPlan) -> None:
        """Add a consumer, which sends the plan's first request and reads the head. Raises LoadFailed."""
        sock = socket.socket()
        self._sockets.append(sock)
        sock.settimeout(TIMEOUT_SECONDS)
        # Small, so that the server soon notices that nobody reads. Set before the window is offered.
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
        """Raise LoadFailed if the server closed one of the connections, or sent it everything."""
        for sock in self._sockets:
            try:
                alive = bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except OSError:
                alive = False
            if not alive:
                raise LoadFailed(f"{self._where()}: the connection did not last")

    def _where(self) -> str:
        return f"{self._name}, slow consumer {len(self._sockets)}"
