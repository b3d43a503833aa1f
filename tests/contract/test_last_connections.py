"""A socket that takes no new connections still lets those come to their end that have begun."""

import select
import socket

import pytest

from provider.process.sockets import refuse_new_connections


def listening(host: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(8)
    return listener


def connecting(listener: socket.socket) -> socket.socket:
    sock = socket.socket(listener.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex(listener.getsockname())
    return sock


def is_connected(sock: socket.socket) -> bool:
    return bool(select.select([], [sock], [], 0)[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_those_that_are_connected_stay_so_and_no_more_come(host: str) -> None:
    with listening(host) as listener, connecting(listener) as early:
        assert is_connected(early)
        refuse_new_connections(listener)
        with connecting(listener) as late:
            assert not is_connected(late)
            accepted, _ = listener.accept()
            with accepted:
                early.send(b"ask")
                assert accepted.recv(3) == b"ask"
                accepted.send(b"answer")
                early.setblocking(True)
                assert early.recv(6) == b"answer"
            assert not is_connected(late)
            # Nobody is left waiting: the next attempt of the system finds nobody.
            listener.close()
            late.settimeout(60)
            assert select.select([], [late], [], 60)[1]
            assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def test_a_closed_socket_is_let_be() -> None:
    listener = listening("127.0.0.1")
    listener.close()
    refuse_new_connections(listener)
