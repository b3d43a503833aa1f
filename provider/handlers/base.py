"""What every endpoint shares: reading the request, JSON replies, CORS, request ids, and errors becoming responses."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any, Generic, TypeVar

import orjson
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError

from provider.admission.bodies import Bodies
from provider.admission.entry import Ticket
from provider.books.books import Books
from provider.books.record import Use
from provider.errors import MethodNotAllowed, OrderError, ProviderError
from provider.handlers.body import SHORT_BODY_BYTES, BodyReader, joined
from provider.handlers.json_body import JsonShape
from provider.handlers.off_loop import Arguments, OffLoop, Result
from provider.handlers.request_data import request_data
from provider.handlers.rules import Data
from provider.http1.heads import Request
from provider.observability.last_errors import LastErrors
from provider.observability.logs import AccessLog, durations
from provider.observability.metrics import Metrics
from provider.observability.tracing import Trace, Tracing
from provider.upstream.shares import asking_client

log = logging.getLogger("provider.access")
# A request id is taken from a front proxy only in this form: it goes into headers and logs.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Never sent: how logs and metrics show a request without an answer, as its client left (the code nginx uses) or the
# server stopped.
NO_ANSWER = 499
# Codes of refused orders in compute requests; their class is not OrderError.
ORDER_CODES = frozenset({"compute_order_invalid", "compute_fees_not_paid"})
# Of answers that are sent piece by piece.
PIECE_BYTES = 64 << 10
# How long a client may take nothing of such an answer.
SEND_SECONDS = 30.0
D = TypeVar("D")
UNFORESEEN = "unforeseen failure"
ALL_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the base of all endpoints needs."""

    metrics: Metrics
    max_body_bytes: int
    access_log: AccessLog
    tracing: Tracing | None = None
    in_progress: set["BaseEndpoint"] = field(default_factory=set)
    bodies: Bodies = field(default_factory=Bodies)
    off_loop: OffLoop = field(default_factory=OffLoop)
    books: Books = field(default_factory=Books)
    logs_datasets: bool = False
    last_errors: LastErrors = field(default_factory=LastErrors)


class BaseEndpoint(BodyReader):
    """What all endpoints share, whatever their dependencies.

    `handle` raises ProviderError to refuse. When the consumer leaves before the answer began, it is cancelled.
    """

    endpoint: str = "unknown"
    """The name in metrics and logs."""
    request_id = ""
    ticket: Ticket | None = None
    """The part of the limits that this request holds; None if nothing is counted."""
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS")

    def __init__(self, application: Application, request: Request, frame: Frame) -> None:
        super().__init__(application, request, frame.bodies, frame.max_body_bytes)
        self._frame = frame
        self._started_at = time.perf_counter()
        self._task: asyncio.Task[Any] | None = None
        self.error_code: str | None = None
        self._steps: list[tuple[str, float]] = []
        self._trace = None if frame.tracing is None else self._begin_trace(frame.tracing)
        self.facts: dict[str, object] = {}
        self.use: Use | None = None
        """The record for the books, made once the consumer is proven. None if nothing is recorded."""

    def _begin_trace(self, tracing: Tracing) -> Trace:
        parent = self.request.headers.get("Traceparent")
        return tracing.begin(self.endpoint, parent, self._started_at)

    def set_default_headers(self) -> None:
        """CORS as the clients in browsers rely on it (`provider-api.md` section 1), and the request id."""
        if not self.request_id:
            offered = self.request.headers.get("X-Request-ID", "")
            self.request_id = offered if REQUEST_ID.fullmatch(offered) else f"{getrandbits(64):016x}"
        origin = self.request.headers.get("Origin")
        self.set_headers(
            (
                ("X-Request-ID", self.request_id),
                ("Access-Control-Expose-Headers", "X-Request-ID"),
                ("Access-Control-Allow-Origin", "*" if origin is None else origin),
            )
        )
        if origin is not None:
            self.set_header("Vary", "Origin")

    def arguments(self) -> Data:
        """Input of the request: query or JSON object, whose text is dropped. To be called once.

        Raises BodyNotObject, BodyTooComplex, BodiesFull and ValidationFailed.
        """
        content_type, shape = self.request.headers.get("Content-Type", ""), self._shape
        if shape is None:
            return request_data(self.request.query, content_type, b"")
        data = _read_json(self.request.query, content_type, self._take_text(shape), shape)
        self.hold(shape.parsed_bytes)
        return data

    async def arguments_of_document(self) -> Data:
        """As `arguments`; a large body is parsed off the loop."""
        content_type, shape = self.request.headers.get("Content-Type", ""), self._shape
        if shape is None or shape.size_bytes <= SHORT_BODY_BYTES:
            return self.arguments()
        text = self._take_text(shape)
        data = await self.off_loop(_read_json, self.request.query, content_type, text, shape)
        self.hold(shape.parsed_bytes)
        return data

    def _take_text(self, shape: JsonShape) -> list[bytearray]:
        """Hand over the body. Its memory still counts, and the memory of what it is parsed into counts too."""
        self.hold(shape.size_bytes + shape.parsed_bytes)
        return self.take_body()

    async def off_loop(
        self, call: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """The result of work on a large document. Raises BodiesFull, and what `call` raises."""
        client = self.ticket.client if self.ticket is not None else None
        return await self._frame.off_loop.run(client, call, *arguments, **named)

    @property
    def client(self) -> bytes | None:
        """The client that limits are counted for; None when they are not."""
        return None if self.ticket is None else self.ticket.client

    def enter(self, step: str) -> None:
        """A step of the work begins, and the one before has ended: for the log and for traces."""
        self._steps.append((step, time.perf_counter()))

    async def handle(self) -> None:
        """Answer the request; subclasses write this."""
        raise NotImplementedError

    def start(self) -> asyncio.Task[None]:
        """Take over the request and its ticket, which `_own` gives back."""
        if self.ticket is not None:
            self._held.client = self.ticket.client
        self._frame.in_progress.add(self)
        return asyncio.get_running_loop().create_task(self._own())

    async def _own(self) -> None:
        """Serve the request. The one place where what it holds is given back, and where it is counted and logged."""
        try:
            await self.execute()
        finally:
            self._give_back()
            self._account()

    def _give_back(self) -> None:
        """Give back what is counted for this request."""
        self._frame.in_progress.discard(self)
        if self.ticket is not None:
            self.ticket.leave()
        self._forget_body()

    async def _serve(self) -> None:
        if self._refused:
            return
        self._task = asyncio.current_task()
        asking_client.set(None if self.ticket is None else self.ticket.client)
        try:
            if self.ticket is not None and self.ticket.awaits_body:
                self.ticket.begin()
            if self._trace is None:
                await self.handle()
            else:
                with self._trace.active():
                    await self.handle()
        except ProviderError as error:
            self._refuse(error)
        except asyncio.CancelledError:
            if not self.gone:
                raise
        except StreamClosedError:
            # The client took no more of its answer.
            self.facts.setdefault("outcome", "consumer_gone")
        except Exception as exc:
            log.exception(UNFORESEEN, extra=self._named(), exc_info=exc)
            self._refuse(ProviderError())
        finally:
            self._task = None

    get = head = post = put = delete = patch = options = _serve

    def _refuse(self, error: ProviderError) -> None:
        """The one place where an error becomes a response. Once the head is out it can only cut the connection."""
        if error.detail:
            self.facts["detail"] = error.detail
        if self.headers_written:
            self.error_code = error.code
            self.cut()
        elif not self.gone:
            self.reply_error(error)

    def reply_error(self, error: ProviderError) -> None:
        """Reply with the error's status and body."""
        self.error_code = error.code
        self._frame.metrics.requests.fail(error.code)
        if isinstance(error, OrderError) or error.code in ORDER_CODES:
            self._frame.metrics.requests.order_refusals.add(error.code)
        if error.retry_after_seconds is not None:
            self.set_header("Retry-After", str(error.retry_after_seconds))
        self.reply_json(error.body(), status=error.http_status)

    def reply_json(self, value: Mapping[str, object] | list[object], *, status: int = 200) -> None:
        """Write `value` as JSON."""
        self.set_status(status)
        self.reply_body(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), "application/json")

    def reply_body(self, body: bytes, media_type: str) -> None:
        """Reply with this body, in place of one that was written but not sent."""
        self.drop_unsent()
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Length", str(len(body)))
        self.write(body)

    async def reply_text(self, pieces: Iterable[bytes], *, length_bytes: int, status: int) -> None:
        """As `reply_pieces`, a plain text."""
        await self.reply_pieces(
            pieces, length_bytes=length_bytes, media_type="text/plain; charset=utf-8", status=status
        )

    async def reply_pieces(
        self, pieces: Iterable[bytes], *, length_bytes: int, media_type: str, status: int = 200
    ) -> None:
        """Send a body of this length piece by piece, so that a slow client does not keep all of it in memory."""
        self.set_status(status)
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Length", str(length_bytes))
        waiting_bytes = 0
        for piece in pieces:
            self.write(piece)
            waiting_bytes += len(piece)
            if waiting_bytes >= PIECE_BYTES:
                await self.sent()
                waiting_bytes = 0

    async def sent(self) -> None:
        """Wait until what was written has left. Raises StreamClosedError, also when nothing leaves for SEND_SECONDS."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.flush()
            # Others first: a fast client takes piece after piece without a wait.
            await asyncio.sleep(0)
        except TimeoutError:
            self.cut()
            self.facts["outcome"] = self.error_code = "consumer_stalled"
            raise StreamClosedError from None

    def cut(self) -> None:
        """Close the consumer's connection so that an unfinished body is seen as cut, and stop working for it."""
        if not self.finished:
            self.detach().close()
        if not self.headers_written:
            self._left_without_answer("cut")
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _left_without_answer(self, code: str) -> None:
        """For the log and the metrics; nothing is sent."""
        self.set_status(NO_ANSWER, "No Answer")
        self.error_code = code

    def on_connection_close(self) -> None:
        """The consumer left: stop working for it."""
        super().on_connection_close()
        self.gone = True
        if not self.headers_written:
            self._left_without_answer("consumer_gone")
        self.consumer_gone()

    def compute_etag(self) -> None:
        """No tag: these answers are made for one request, and hashing each would cost more than it saves."""

    def consumer_gone(self) -> None:
        """Stop what `handle` is waiting for; a streaming endpoint ends its stream instead."""
        if self._task is not None:
            self._task.cancel()

    def _account(self) -> None:
        """Count and log this request."""
        seconds = time.perf_counter() - self._started_at
        status = self.get_status()
        self.count(status, seconds)
        if self.error_code is not None:
            is_bought = self.use is not None and self.use.is_bought
            did = self.use.did if self.use is not None and is_bought else ""
            self._frame.last_errors.note(self.error_code, self.endpoint, self.request_id, did, is_bought=is_bought)
        if self.use is not None and (self.use.outcome or self.error_code or status >= 400):
            self.use.end(self.endpoint, self.error_code or self.outcome(status), at=time.time(), seconds=seconds)
            self._frame.books.add(self.use)
        write = self._frame.access_log.write
        if write is None and self._trace is None:
            return
        facts = self._access_facts(status, seconds)
        if write is not None:
            write(facts)
        if self._trace is not None:
            self._trace.end(facts, self._steps, self._started_at + seconds)

    def count(self, status: int, seconds: float) -> None:
        """Count this request, once it has ended."""
        self._frame.metrics.requests.answer(self.endpoint, status, seconds)

    def outcome(self, status: int) -> str:
        """How the request ended: `facts` may name an early end of its body."""
        ended = self.facts.get("outcome", self.error_code if status == NO_ANSWER else None)
        return str(ended or ("ok" if status < 400 else "refused" if status < 500 else "failed"))

    def _access_facts(self, status: int, seconds: float) -> dict[str, object]:
        """What the access line tells."""
        facts: dict[str, object] = {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "method": self.request.method,
            "status": status,
            "outcome": self.outcome(status),
            "seconds": round(seconds, 6),
        }
        if self.error_code:
            facts["code"] = self.error_code
        if self._steps:
            facts["steps"] = durations(self._steps, self._started_at + seconds)
        if self.use is not None and self._frame.logs_datasets:
            facts |= self.use.public_facts()
        facts.update(self.facts)
        return facts

    def write_error(self, status_code: int, **_: Any) -> None:
        """What Tornado itself refuses, before anything of ours runs: a method that HTTP does not know.

        The request's body was not read then, so that nothing more can be understood on this connection.
        """
        self.set_header("Connection", "close")
        self.reply_error(MethodNotAllowed() if status_code == MethodNotAllowed.http_status else ProviderError())

    def send_error(self, status_code: int = 500, **more: Any) -> None:
        """As in the base class, which would end a body that has begun as if it were whole."""
        if self.headers_written:
            self.cut()
        else:
            super().send_error(status_code, **more)

    def log_exception(self, _: object, failure: BaseException | None, __: object) -> None:
        """Log what failed outside `handle`. Tornado's own report would hold the query string."""
        if not isinstance(failure, HTTPError):
            log.error(UNFORESEEN, extra=self._named(), exc_info=failure)

    def _named(self) -> dict[str, object]:
        return {"fields": {"request_id": self.request_id}}


class Endpoint(BaseEndpoint, Generic[D]):
    """Base of endpoints with dependencies of type `D`: a subclass names itself and writes `handle`."""

    def __init__(self, application: Application, request: Request, frame: Frame, deps: D) -> None:
        self.deps = deps
        super().__init__(application, request, frame)


def _read_json(query: str, content_type: str, text: list[bytearray], shape: JsonShape) -> Data:
    return request_data(query, content_type, joined(text), shape)
