"""What endpoints that stream share: reply headers, the relay, its counts, and a consumer that leaves."""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tornado.web import Application

from provider.errors import LengthUnknown, PreconditionRefused, ProviderError
from provider.handlers.accept import wants_page
from provider.handlers.base import Endpoint, Frame
from provider.handlers.refusal_page import refusal_page
from provider.http1.connection import tells_end
from provider.http1.heads import Request
from provider.http1.sink import TornadoSink
from provider.override import override
from provider.streaming.headers import EXPOSED, file_name, reply_headers, validator_headers
from provider.streaming.limits import StreamLimits, StreamSlot
from provider.streaming.measured import measured
from provider.streaming.progress import Progress
from provider.streaming.relay import Relayed, StreamEngine
from provider.streaming.resume import Reopen
from provider.upstream.answer import (
    Answer,
    AskWhole,
    Part,
    Parts,
    PreconditionFailed,
    Refused,
    Unsatisfiable,
    Whole,
    answer_of,
    whole_instead,
)
from provider.upstream.patience import refusal
from provider.upstream.source import Headers, Source
from provider.upstream.wish import Wish

OpenSource = TypeVar("OpenSource", bound=Source)


def file_name_of(headers: Headers, url_path: str | None, *, fallback: str | None = None) -> str:
    """Name of a file by its origin's answer, or by the path of its configured URL, or else `fallback`.

    None as `fallback` makes a random name.
    """
    return file_name(headers, url_path=url_path, fallback=_random_name if fallback is None else lambda: fallback)


def _random_name() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDeps:
    """What every endpoint that streams needs."""

    engine: StreamEngine
    limits: StreamLimits


S = TypeVar("S", bound=StreamDeps)


class StreamingEndpoint(Endpoint[S]):
    """Base of endpoints whose body comes from an origin."""

    # What was paid for belongs to one consumer; caches that store in spite of `no-store` respect this one.
    cache_control = "private, no-store"

    def __init__(self, application: Application, request: Request, frame: Frame, deps: S) -> None:
        super().__init__(application, request, frame, deps)
        self._sink: TornadoSink | None = None
        self.progress: Progress | None = None
        """Of the body, while it is under way."""

    @property
    def started_at(self) -> float:
        """When the request's head had come, by `time.perf_counter`."""
        return self._started_at

    @override
    def reply_error(self, error: ProviderError) -> None:
        """As in the base class; a browser that navigates here gets a page."""
        super().reply_error(error)
        if not wants_page(self.request.headers.get("Accept")):
            return
        body, policy = refusal_page(error, self.request_id)
        self.reply_body(body, "text/html; charset=utf-8")
        self.set_header("Vary", "Origin, Accept")
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Referrer-Policy", "no-referrer")

    async def opened(
        self, ask: Callable[[Wish], Awaitable[OpenSource]], asked: Wish, file_type: str
    ) -> tuple[OpenSource, Answer]:
        """The source that `ask` opens, and what it is to `asked`; timed and counted. Raises what `ask` raises."""
        self.enter("upstream")
        began = time.perf_counter()
        try:
            source = await ask(asked)
            answer = answer_of(asked, source)
            if isinstance(answer, AskWhole):
                first_status = source.status
                source.close()
                source = await ask(asked.whole())
                answer = whole_instead(asked, first_status, source)
        except ProviderError as error:
            self._frame.metrics.files.upstream_seconds.observe(time.perf_counter() - began, file_type, error.code)
            raise
        status_class = f"{source.status // 100}xx"
        self._frame.metrics.files.upstream_seconds.observe(time.perf_counter() - began, file_type, status_class)
        return source, answer

    async def stream(
        self,
        source: Source,
        answer: Answer,
        slot: StreamSlot,
        *,
        name: str,
        reopen: Reopen,
        service_type: str,
        file_type: str,
    ) -> Relayed | None:
        """Relay `source` to the consumer; None when no body was due.

        `name` is the name of the file (`file_name_of`). `reopen` asks for the rest when the origin is lost in the
        body. The types are for the metrics only.

        Raises:
            UpstreamRefused: its answer is no file, or not the part that was asked for.
            UpstreamBusy: the origin asks to come back later.
            PreconditionRefused: the file is of another version than the consumer insists on.
        """
        if not isinstance(answer, (Whole, Part, Parts)):
            self._reply_without_body(source, answer)
            return None
        if answer.length_bytes is None and not tells_end(self.request.connection):
            source = await self._measured(source)
            answer = replace(answer, length_bytes=source.length_bytes)
        try:
            headers = reply_headers(source.headers, answer, name=name)
        except BaseException:
            source.close()
            raise
        began = time.perf_counter()
        sink, progress = self._stream_begins(slot, began)
        try:
            relayed = await self.deps.engine.relay(
                source,
                sink,
                headers,
                status=answer.status,
                progress=progress,
                reopen=reopen,
            )
        except BaseException:
            self._frame.metrics.streams.fail(progress)
            raise
        finally:
            self.progress = None
            # Sink and endpoint hold each other; a cycle would stay until the collector comes.
            self._sink = None
        self._frame.metrics.streams.end(
            progress,
            service_type=service_type,
            file_type=file_type,
            path=relayed.path,
            outcome=relayed.outcome,
            resumes=relayed.resumes,
            seconds=time.perf_counter() - began,
        )
        self._stream_ended(relayed)
        return relayed

    async def _measured(self, source: Source) -> Source:
        try:
            return await measured(source)
        except LengthUnknown:
            # RFC 9110 section 15.5.22.
            self.set_header("Upgrade", "HTTP/1.1")
            self.set_header("Connection", "Upgrade")
            raise

    def _stream_begins(self, slot: StreamSlot, now: float) -> tuple[TornadoSink, Progress]:
        self.enter("stream")
        self._frame.metrics.streams.first_byte_seconds.observe(now - self._started_at, self.endpoint)
        sink = self._sink = TornadoSink(self)
        if self.ticket is not None:
            self.ticket.worked()
        slot.begin(sink)
        progress = self.progress = Progress()
        self._frame.metrics.streams.start(self.endpoint, progress)
        return sink, progress

    def _stream_ended(self, relayed: Relayed) -> None:
        """For the access log, and the count of errors."""
        self.facts |= {"bytes": relayed.bytes_sent, "outcome": relayed.outcome, "path": relayed.path}
        if relayed.resumes:
            self.facts["resumes"] = relayed.resumes
        if self.use is not None:
            self.use.send(relayed.bytes_sent, relayed.outcome, relayed.path, is_part=self.get_status() == 206)
        if relayed.outcome != "complete":
            self.error_code = relayed.outcome
            self._frame.metrics.requests.fail(relayed.outcome)

    def _reply_without_body(self, source: Source, answer: Answer) -> None:
        """304, or 416 with the length; the origin's pages are not the consumer's business. Raises as `stream`."""
        if isinstance(answer, Refused):
            source.close()
            raise refusal(source, answer.detail, now=time.time())
        source.release()
        if isinstance(answer, PreconditionFailed):
            raise PreconditionRefused
        self.set_status(answer.status)
        self.set_header("Access-Control-Expose-Headers", EXPOSED)
        if isinstance(answer, Unsatisfiable):
            # RFC 9110 section 15.5.17.
            if answer.total_bytes is not None:
                self.set_header("Content-Range", f"bytes */{answer.total_bytes}")
            self.set_header("Content-Length", "0")
        else:
            for name, value in validator_headers(source.headers):
                self.set_header(name, value)

    def consumer_gone(self) -> None:
        """The relay ends itself, so that what was sent is counted; before it began the work is cancelled."""
        if self._sink is not None:
            self._sink.consumer_gone()
        else:
            super().consumer_gone()

    def cut(self) -> None:
        """A reset, also for a chunked body. The relay then ends itself, as for a consumer that left."""
        if self._sink is not None:
            self._sink.abort()
        else:
            super().cut()
