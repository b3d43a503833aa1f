"""The common part of endpoints that stream: reply headers, the relay, its counts, and consumers that leave."""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tornado.web import Application

from provider.errors import LengthUnknown, PreconditionRefused, ProviderError
from provider.handlers.accept import wants_page
from provider.handlers.base import Endpoint, Frame
from provider.handlers.downloads.quota_gate import QuotaGate
from provider.handlers.refusal_page import refusal_page
from provider.http1.connection import tells_end
from provider.http1.heads import Request
from provider.http1.sink import TornadoSink
from provider.override import override
from provider.quotas.quota import NO_LIMITS, Body, Limits, Taker
from provider.quotas.quotas import Hold, Quotas
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
    """Return the file's name from its origin's answer, else from the path of its configured URL, else `fallback`.

    `fallback` None gives a random name.
    """
    return file_name(headers, url_path=url_path, fallback=_random_name if fallback is None else lambda: fallback)


def _random_name() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDeps:
    """The parts that every streaming endpoint needs. `quotas`: None if nothing is counted."""

    engine: StreamEngine
    limits: StreamLimits
    quotas: QuotaGate | None


S = TypeVar("S", bound=StreamDeps)


class StreamingEndpoint(Endpoint[S]):
    """Base of endpoints whose body comes from an origin."""

    # A paid file belongs to one consumer. Caches that store in spite of `no-store` respect this directive.
    cache_control = "private, no-store"

    def __init__(self, application: Application, request: Request, frame: Frame, deps: S) -> None:
        super().__init__(application, request, frame, deps)
        self._sink: TornadoSink | None = None
        self.progress: Progress | None = None
        """Of the body, while it is under way."""

    @property
    def started_at(self) -> float:
        """When the head of the request was complete, by `time.perf_counter`."""
        return self._started_at

    @override
    def reply_error(self, error: ProviderError) -> None:
        """As in the base class, but a browser that navigates here gets a page."""
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
        """Open the source with `ask`, and judge its answer to `asked`. Both are timed and counted.

        Raises what `ask` raises.
        """
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

    async def hold_quota(
        self, quotas: Quotas, taker: Taker, body: Body | None, source: Source, *, publisher: Limits = NO_LIMITS
    ) -> Hold | None:
        """Hold what the body may take of the quotas; the source is closed if it may not be sent.

        Raises as `Quotas.take`.
        """
        if body is None:
            return None
        try:
            return await quotas.take(taker, publisher, body, sent_bytes=self._sent_bytes, cut=self._cut_at_quota)
        except BaseException:
            source.close()
            raise

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
        hold: Hold | None = None,
    ) -> Relayed | None:
        """Relay `source` to the consumer; None when no body was due.

        `name` is the name of the file (`file_name_of`). `reopen` asks for the rest when the origin is lost in the
        body. The types are for the metrics only. `hold` ends with the stream, however it ends.

        Raises:
            UpstreamRefused: its answer is no file, or not the part that was asked for.
            UpstreamBusy: the origin asks to come back later.
            PreconditionRefused: the file is of another version than the consumer insists on.
        """
        if not isinstance(answer, (Whole, Part, Parts)):
            self._reply_without_body(source, answer)
            return None
        try:
            return await self._relay(
                source, answer, slot, name=name, reopen=reopen, service_type=service_type, file_type=file_type
            )
        finally:
            if hold is not None and self.deps.quotas is not None:
                self.deps.quotas.quotas.end(hold, self._sent_bytes())
            self.progress = None

    async def _relay(
        self,
        source: Source,
        answer: Whole | Part | Parts,
        slot: StreamSlot,
        *,
        name: str,
        reopen: Reopen,
        service_type: str,
        file_type: str,
    ) -> Relayed:
        if answer.length_bytes is None and not tells_end(self.request.connection):
            source = await self._measured(source)
            answer = replace(answer, length_bytes=source.length_bytes)
        try:
            fields = reply_headers(source.headers, answer, name=name)
        except BaseException:
            source.close()
            raise
        began = time.perf_counter()
        sink, progress = self._stream_begins(slot, began, answer.length_bytes)
        relaying = self.deps.engine.relay(source, sink, fields, status=answer.status, progress=progress, reopen=reopen)
        # They leave with the head. The stream may last for hours.
        del fields
        try:
            relayed = await relaying
        except BaseException:
            self._frame.metrics.streams.fail()
            raise
        finally:
            # Sink and endpoint refer to each other. A cycle would stay in memory until the garbage collector runs.
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

    def _sent_bytes(self) -> int:
        return 0 if self.progress is None else self.progress.bytes_sent

    def _cut_at_quota(self) -> None:
        self.facts["detail"] = "the quota is used up"
        self.cut()

    async def _measured(self, source: Source) -> Source:
        try:
            return await measured(source)
        except LengthUnknown:
            # RFC 9110 section 15.5.22.
            self.set_header("Upgrade", "HTTP/1.1")
            self.set_header("Connection", "Upgrade")
            raise

    def _stream_begins(self, slot: StreamSlot, now: float, length_bytes: int | None) -> tuple[TornadoSink, Progress]:
        self.enter("stream")
        first_byte_seconds = now - self._started_at
        self._frame.metrics.streams.first_byte_seconds.observe(first_byte_seconds, self.endpoint)
        if self.use is not None:
            self.use.first_byte_seconds = first_byte_seconds
        sink = self._sink = TornadoSink(self)
        if self.ticket is not None:
            self.ticket.worked()
        slot.begin(sink)
        total = self._frame.metrics.streams.start(self.endpoint)
        progress = self.progress = Progress(length_bytes=length_bytes, total=total)
        return sink, progress

    def _stream_ended(self, relayed: Relayed) -> None:
        """Record the end of the stream for the access log, and count errors."""
        self.facts |= {"bytes": relayed.bytes_sent, "outcome": relayed.outcome, "path": relayed.path}
        if relayed.resumes:
            self.facts["resumes"] = relayed.resumes
        if self.use is not None:
            self.use.send(
                relayed.bytes_sent,
                relayed.outcome,
                relayed.path,
                is_part=self.get_status() == 206,
                cached_bytes=relayed.cached_bytes,
            )
        if relayed.outcome != "complete":
            self.error_code = relayed.outcome
            self._frame.metrics.requests.fail(relayed.outcome)

    def _reply_without_body(self, source: Source, answer: Answer) -> None:
        """Reply with 304, or with 416 and the length. The origin's own body is not passed on. Raises as `stream`."""
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
        """End the relay, which then counts what was sent. If it has not begun, cancel the work."""
        if self._sink is not None:
            self._sink.consumer_gone()
        else:
            super().consumer_gone()

    def cut(self) -> None:
        """Reset the connection, for a chunked body too. The relay then ends as it does for a consumer that left."""
        if self._sink is not None:
            self._sink.abort()
        else:
            super().cut()
