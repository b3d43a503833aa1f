"""A request's body: kept as it arrives, within its limits, and refused while it does."""

import asyncio

from tornado.web import RequestHandler, stream_request_body

from provider.admission.bodies import Bodies
from provider.errors import BodiesFull, BodyTooLarge, ProviderError
from provider.http1.connection import end_with_reply
from provider.wire_text import digits

# How long a client whose body was refused may pause while it goes on sending (nginx's lingering_timeout: 5).
LINGER_SECONDS = 2.0


@stream_request_body
class BodyReader(RequestHandler):
    """The part of an endpoint that reads the body in pieces, so that one over the limit is refused while it comes."""

    gone = False
    """The consumer has left."""

    def _begin_body(self, bodies: Bodies, max_body_bytes: int) -> None:
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._body = bytearray()
        self._refused = False
        self._body_began = False
        self._discarded_bytes = 0

    def reply_error(self, error: ProviderError) -> None:
        """Reply with the error's status and body; the endpoint writes this."""
        raise NotImplementedError

    @property
    def body(self) -> bytes:
        """The whole request body."""
        return bytes(self._body)

    def prepare(self) -> None:
        """Refuse a body that announces itself as too long before any of it is read."""
        announced = digits(self.request.headers.get("Content-Length", ""))
        if announced is not None and announced > self._max_body_bytes:
            self._refuse_body(BodyTooLarge())

    def data_received(self, chunk: bytes) -> None:
        """Keep the body up to the limit. What follows a refusal is dropped, up to twice the limit again."""
        if self._refused:
            self._discarded_bytes += len(chunk)
            if self._discarded_bytes > 2 * self._max_body_bytes and not self._finished:
                self.finish()
            return
        self._body_began = True
        if not self._bodies.hold(len(chunk)):
            self._refuse_body(BodiesFull())
            return
        self._body += chunk
        if len(self._body) > self._max_body_bytes:
            self._refuse_body(BodyTooLarge())

    def _refuse_body(self, error: ProviderError) -> None:
        """Answer at once but go on reading: a client that is still sending would see a reset, not the answer."""
        self._refused = True
        self._forget_body()
        self.set_header("Connection", "close")
        end_with_reply(self.request.connection)
        self.reply_error(error)
        if self.request.headers.get("Expect", "").lower() == "100-continue" and not self._body_began:
            # It waits for leave to send, and Tornado would give it after the refusal.
            self.finish()
            return
        self.flush()
        self._linger(-1)

    def give_up(self, error: ProviderError) -> None:
        """Nothing more of the body is waited for."""
        if self._refused or self._finished:
            return
        self._refused = True
        self._forget_body()
        self.set_header("Connection", "close")
        end_with_reply(self.request.connection)
        self.reply_error(error)
        self.finish()

    def _linger(self, seen_bytes: int) -> None:
        """Look again and again, until the client has fallen silent."""
        if self._finished or self.gone:
            return
        if self._discarded_bytes == seen_bytes:
            self.finish()
        else:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._linger, self._discarded_bytes)

    def _forget_body(self) -> None:
        self._bodies.let_go(len(self._body))
        self._body.clear()
