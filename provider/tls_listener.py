"""Tornado's HTTP server over `tls.ServerTls`: handshakes have a limit of time, new certificate files are taken."""

import asyncio
import logging
from typing import Any

from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.iostream import IOStream, SSLIOStream

from provider.http1.connection import ServerConnection, ServerStream
from provider.tls import ServerTls, TlsFault

log = logging.getLogger("provider.server")
# nginx allows 60 s (client_header_timeout); five round trips of a bad satellite line are 4 s.
HANDSHAKE_SECONDS = 10.0
# Two calls of stat.
LOOK_SECONDS = 2.0


class PublicServer(HTTPServer):
    """As `HTTPServer`; with `ssl_options`, a connection whose handshake is slow is closed."""

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """As in the base class."""
        # Set for good: Tornado would switch it on and off again around each reply, and a reply is one piece anyway.
        stream.set_nodelay(True)
        stream.set_nodelay = _leave_nodelay  # type: ignore[method-assign]
        if isinstance(stream, SSLIOStream):
            limit = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, stream.close)
            # Also done, with an error that Tornado has looked at, when the connection is lost before.
            stream.wait_for_handshake().add_done_callback(lambda _: limit.cancel())
        else:
            stream = ServerStream(
                stream.socket, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size
            )
            stream.set_nodelay = _leave_nodelay  # type: ignore[method-assign]
        context = _HTTPRequestContext(stream, address, self.protocol, self.trusted_downstream)
        connection = ServerConnection(stream, self.conn_params, context)
        self._connections.add(connection)
        connection.start_serving(self)

    @property
    def is_connected(self) -> bool:
        """Is any connection open, idle ones included?"""
        return bool(self._connections)


def _leave_nodelay(value: bool) -> None:
    pass


class CertificateWatch:
    """Looks for new certificate files every now and then, and when told to."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        # A worker that was started again comes from a process with the certificate of its own start.
        self._look(force=False)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)

    def renew(self) -> None:
        """Take the files now, changed or not."""
        self._look(force=True)

    def stop(self) -> None:
        """No more looks."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._look(force=False)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)

    def _look(self, *, force: bool) -> None:
        try:
            if self._tls.renew(force=force):
                log.info("certificate taken")
        except TlsFault as fault:
            log.warning("the certificate in use is kept", extra={"facts": {"reason": str(fault)}})
