"""Reads the body of a request within its limits, and refuses one that breaks them while it arrives."""

import asyncio
from typing import ClassVar

from tornado.web import Application, stream_request_body

from provider.admission.bodies import Bodies, HeldBody
from provider.errors import BodiesFull, BodyTooComplex, BodyTooLarge, ProviderError
from provider.handlers.json_body import PIECE_BYTES, JsonShape
from provider.handlers.request_data import is_json
from provider.http1.connection import end_with_reply
from provider.http1.handler import HttpHandler
from provider.http1.heads import Request
from provider.wire.text import digits

# How long a client may pause while it still sends a refused body (nginx's lingering_timeout: 5).
LINGER_SECONDS = 2.0
# Far above the need of any request without a document.
SHORT_BODY_BYTES = 128 << 10


def joined(pieces: list[bytearray]) -> bytearray:
    """Join the pieces of a body. The list is emptied, so that the body is in memory once."""
    whole = pieces[0] if len(pieces) == 1 else bytearray().join(pieces)
    pieces.clear()
    return whole


@stream_request_body
class BodyReader(HttpHandler):
    """The part of an endpoint that reads the body in pieces, so that one over the limit is refused as it arrives."""

    # With more than 30 attributes outside slots, Python 3.11 makes a dictionary of 1.6 KB for each object.
    __slots__ = (
        "_body", "_body_began", "_body_bytes", "_discarded_bytes", "_held", "_max_body_bytes", "_max_discarded_bytes",
        "_pieces", "_refused", "_shape",
    )  # fmt: skip
    gone = False
    """The consumer has left."""
    max_body_bytes: ClassVar[int | None] = SHORT_BODY_BYTES
    """Longest body of this endpoint; None for the longest that the settings allow."""

    def __init__(self, application: Application, request: Request, bodies: Bodies, max_body_bytes: int) -> None:
        super().__init__(application, request)
        self._held = HeldBody(bodies)
        own = self.max_body_bytes
        self._max_body_bytes = max_body_bytes if own is None else min(own, max_body_bytes)
        # A client that still sends after a refusal gets its answer if it ends within this time.
        self._max_discarded_bytes = 2 * max_body_bytes
        # Whole pieces and the rest. A single buffer would be copied again and again as it grows.
        self._pieces: list[bytearray] = []
        self._body = bytearray()
        self._body_bytes = 0
        self._shape: JsonShape | None = None
        self._refused = False
        self._body_began = False
        self._discarded_bytes = 0

    def reply_error(self, error: ProviderError) -> None:
        """Reply with the error's status and body; the endpoint writes this."""
        raise NotImplementedError

    @property
    def body(self) -> bytearray:
        """The whole request body, until `take_body`."""
        if self._pieces:
            self._body = joined(self.take_body())
        return self._body

    def take_body(self) -> list[bytearray]:
        """Hand over the body in pieces. Its memory still counts for this request."""
        pieces = [*self._pieces, self._body]
        self._pieces.clear()
        self._body = bytearray()
        return pieces

    def prepare(self) -> None:
        """Refuse a body whose announced length is over the limit, before any of it is read."""
        announced = digits(self.request.headers.get("Content-Length", ""))
        if announced is not None and announced > self._max_body_bytes:
            self._refuse_body(BodyTooLarge())

    def data_received(self, chunk: bytes) -> None:
        """Keep the body up to the limit. After a refusal, drop what follows, up to twice the limit of the settings."""
        if self._refused:
            self._discarded_bytes += len(chunk)
            if self._discarded_bytes > self._max_discarded_bytes and not self.finished:
                self.finish()
            return
        if not self._body_began:
            self._body_began = True
            self._shape = JsonShape() if is_json(self.request.headers.get("Content-Type", "")) else None
        self._body_bytes += len(chunk)
        if not self._held.resize(self._body_bytes):
            self._refuse_body(BodiesFull())
            return
        if self._body_bytes > self._max_body_bytes:
            self._refuse_body(BodyTooLarge())
            return
        self._body += chunk
        if len(self._body) >= PIECE_BYTES:
            self._pieces.append(self._body)
            self._body = bytearray()
        if self._shape is not None:
            self._look_at(self._shape, chunk)

    def _look_at(self, shape: JsonShape, chunk: bytes) -> None:
        try:
            shape.feed(chunk)
        except BodyTooComplex as error:
            self._refuse_body(error)

    def _refuse_body(self, error: ProviderError) -> None:
        """Answer at once but keep reading: a client that is still sending would see a reset instead of the answer."""
        self._refused = True
        self._forget_body()
        self.set_header("Connection", "close")
        end_with_reply(self.request.connection)
        self.reply_error(error)
        if self.request.headers.get("Expect", "").lower() == "100-continue" and not self._body_began:
            # The client waits for "100 Continue", and Tornado would send that after the refusal.
            self.finish()
            return
        self.flush()
        self._linger(-1)

    def give_up(self, error: ProviderError) -> None:
        """Stop waiting for the rest of the body."""
        if self._refused or self.finished:
            return
        self._refused = True
        self._forget_body()
        self.set_header("Connection", "close")
        end_with_reply(self.request.connection)
        self.reply_error(error)
        self.finish()

    def _linger(self, seen_bytes: int) -> None:
        """Check again and again until the client has stopped sending."""
        if self.finished or self.gone:
            return
        if self._discarded_bytes == seen_bytes:
            self.finish()
        else:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._linger, self._discarded_bytes)

    def hold(self, size_bytes: int) -> None:
        """Set the memory that counts for this request. Raises BodiesFull."""
        if not self._held.resize(size_bytes):
            raise BodiesFull

    @property
    def held_bytes(self) -> int:
        """The memory that is counted for this request."""
        return self._held.size_bytes

    def _forget_body(self) -> None:
        if self._held.size_bytes:
            self._held.resize(0)
            self.take_body()
