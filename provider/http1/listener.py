"""Tornado's HTTP server for consumers: limits on connections, heads and handshakes, and immediate refusals.

With `crypto.certificate.ServerTls` it speaks HTTPS and reloads changed certificate files.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

import orjson
from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.iostream import IOStream, SSLIOStream

from provider.admission.clients import Clients
from provider.admission.config import AdmissionConfig
from provider.admission.connections import Connections
from provider.admission.fast_reject import Answer, is_plain_download
from provider.crypto.certificate import ServerTls, TlsFault
from provider.errors import ProviderError, ServerBusy, ServerFull, TooManyRequests
from provider.http1.accept import ACCEPTED_AT_ONCE, Acceptor
from provider.http1.balance import Share
from provider.http1.connection import ServerConnection
from provider.http1.streams import AnswersAtOnce, ServerStream, TlsServerStream
from provider.override import override

log = logging.getLogger("provider.server")
# nginx allows 60 s (client_header_timeout). Five round trips of a bad satellite link take 4 s.
HANDSHAKE_SECONDS = 10.0
# Twice what the backlog can hold: this also ends if new connections cannot be stopped.
LAST_ROUNDS = 2 * 4096 // ACCEPTED_AT_ONCE
READ_AWAY_BYTES = 64 << 10
# Each check takes two calls of stat.
LOOK_SECONDS = 2.0


class PublicServer(HTTPServer):
    """`HTTPServer` with limits. With `ssl_options`, it closes a connection whose handshake is slow."""

    def initialize(
        self,
        *args: Any,
        connections: Connections | None = None,
        clients: Clients | None = None,
        head_seconds: float = ServerConnection.head_seconds,
        turns_away: Callable[[], bool] | None = None,
        observe_refusal: Callable[[ProviderError], None] = lambda _: None,
        share: Share | None = None,
        **more: Any,
    ) -> None:
        """Set the limits.

        Args:
            args: passed to `HTTPServer`, as is `more`.
            connections: counts open connections.
            clients: tells clients apart.
            head_seconds: limit for a request head.
            turns_away: returns whether downloads must be refused at this moment.
            observe_refusal: called with each refusal that no handler sees.
            share: of the connections, if other workers accept from the same socket.
            more: passed to `HTTPServer`.
        """
        super().initialize(*args, **more)
        self._counted = connections if connections is not None else Connections()
        self._clients = clients if clients is not None else Clients(AdmissionConfig())
        self._head_seconds = head_seconds
        self._turns_away = turns_away
        self._downstream = set(self.trusted_downstream or ())
        self._observe_refusal = observe_refusal
        self._share = share
        self._acceptors: list[Acceptor] = []
        self._busy, self._full, self._too_many = ServerBusy(), ServerFull(), TooManyRequests()
        known: tuple[ProviderError, ...] = (self._busy, self._full, self._too_many)
        self._answers = {error: prepared_answer(error) for error in known}

    @override
    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        # Unlike Tornado's, this pauses after the system ran out of descriptors or memory.
        for listener in sockets:
            acceptor = Acceptor(listener, self._handle_connection, self._share)
            self._acceptors.append(acceptor)
            self._sockets[listener.fileno()] = listener
            self._handlers[listener.fileno()] = acceptor.stop

    @override
    def stop(self) -> None:
        super().stop()
        # A successor may count its connections in this place.
        self._share = None

    async def stop_after_the_last(self, *, handshake_seconds: float) -> None:
        """Stop, after accepting the connections in the backlog. Handshakes in progress may finish meanwhile."""
        await asyncio.sleep(handshake_seconds)
        for acceptor in self._acceptors:
            for _ in range(LAST_ROUNDS):
                if not acceptor.accept_waiting():
                    break
                await asyncio.sleep(0)
        # Nothing may run between the last check and this call.
        self.stop()

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        client = self._clients.of_peer(address[0]) if isinstance(address, tuple) else None
        if not self._counted.take(client):
            self._turn_away(connection)
            return
        stream = self._stream_of(connection)
        if stream is None:
            self._counted.give_back(client)
        else:
            self.handle_stream(stream, address)

    def _stream_of(self, connection: socket.socket) -> AnswersAtOnce | None:
        """Wrap a connection. None if it was lost before TLS could start."""
        sizes = {"max_buffer_size": self.max_buffer_size, "read_chunk_size": self.read_chunk_size}
        if not isinstance(self.ssl_options, ssl.SSLContext):
            return ServerStream(connection, **sizes)
        try:
            wrapped = self.ssl_options.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connection.close()
            return None
        return TlsServerStream(wrapped, **sizes)

    def _turn_away(self, connection: socket.socket) -> None:
        """Send the reason as far as possible without waiting, and close."""
        self._observe_refusal(self._full)
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            if self.ssl_options is None:
                # Unread bytes at close would make the kernel reset the connection, and the answer would be lost.
                with contextlib.suppress(BlockingIOError):
                    connection.recv(READ_AWAY_BYTES)
                connection.send(bytes(self._answers[self._full]))
                connection.shutdown(socket.SHUT_WR)
        connection.close()

    @override
    def handle_stream(self, stream: IOStream, address: Any) -> None:
        stream.set_nodelay(True)
        if isinstance(stream, SSLIOStream):
            limit = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, stream.close)
            # Also completes, with an error that Tornado has handled, if the connection is lost first.
            stream.wait_for_handshake().add_done_callback(lambda _: limit.cancel())
        if self._turns_away is not None and isinstance(stream, AnswersAtOnce):
            stream.at_once = self._answer_at_once
        context = _HTTPRequestContext(stream, address, self.protocol)
        # Tornado makes a set for each connection.
        context.trusted_downstream = self._downstream
        connection = ServerConnection(stream, self.conn_params, context)
        connection.head_seconds = self._head_seconds
        self._connections.add(connection)
        self._tell_share()
        connection.start_serving(self)

    @override
    def on_close(self, server_conn: object) -> None:
        super().on_close(server_conn)
        self._tell_share()
        address = server_conn.context.address  # type: ignore[attr-defined]
        self._counted.give_back(self._clients.of_peer(address[0]) if isinstance(address, tuple) else None)

    def _tell_share(self) -> None:
        if self._share is not None:
            self._share.hold(len(self._connections))

    def _answer_at_once(self, stream: AnswersAtOnce, data: memoryview | bytearray) -> bytes | None:
        """Refuse a hopeless download; None to continue. `Admission` would refuse it as well."""
        if stream.refused_until:
            if stream.refused_until > time.monotonic():
                return self._refused(self._too_many, data)
            stream.refused_until = 0.0
        return self._refused(self._busy, data) if self._turns_away is not None and self._turns_away() else None

    def _refused(self, error: ProviderError, data: memoryview | bytearray) -> bytes | None:
        # A draining worker announces the end in each answer.
        if self.conn_params.no_keep_alive or not is_plain_download(bytes(data)):
            return None
        self._observe_refusal(error)
        return bytes(self._answers[error])

    @property
    def is_connected(self) -> bool:
        """True if any connection is open, including idle ones."""
        return bool(self._connections)

    @property
    def awaits_first_request(self) -> bool:
        """True if a connection is open that has not had an answer yet."""
        return any(cast(ServerConnection, connection).is_first for connection in self._connections)


def prepared_answer(error: ProviderError) -> Answer:
    """The complete answer that refuses with `error`."""
    return Answer(
        status=error.http_status,
        reason=HTTPStatus(error.http_status).phrase,
        retry_after_seconds=error.retry_after_seconds or 1,
        body=orjson.dumps(error.body(), option=orjson.OPT_APPEND_NEWLINE),
    )


class CertificateWatch:
    """Checks for new certificate files periodically and on request."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        # A restarted worker inherits the certificate that its parent loaded at its own start.
        self._look(force=False)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)

    def renew(self) -> None:
        """Load the files now, changed or not."""
        self._look(force=True)

    def stop(self) -> None:
        """Stop checking."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._look(force=False)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)

    def _look(self, *, force: bool) -> None:
        try:
            if self._tls.renew(force=force):
                log.info("certificate loaded")
        except TlsFault as fault:
            log.warning("the certificate in use is kept", extra={"fields": {"reason": str(fault)}})
