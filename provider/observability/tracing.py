"""OpenTelemetry traces of requests and of their steps, sent by OTLP over HTTP (`PROVIDER_TRACING=otlp`, extra `otel`).

W3C Trace Context is read from requests, and sent to services that the operator configured, never to origins. Of a
stranger's context only the two ids are used; `tracestate` is not passed on.

Spans hold names, codes, sizes and durations; no URL, address, DID or header.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from provider import __version__
from provider.errors.start import StartError
from provider.outgoing.client import traced

# Spans that have not been sent by then are lost: an unreachable collector must not delay the end.
CLOSE_SECONDS = 3.0
# The fields of a request that its span has too.
_FACTS = ("bytes", "path", "resumes", "chain_id")


class Trace:
    """The span of one request."""

    __slots__ = ("_began_ns", "_span", "_started_at", "_tracing", "headers")

    def __init__(self, tracing: "Tracing", span: Any, *, started_at: float, began_ns: int) -> None:
        self._tracing, self._span = tracing, span
        self._started_at, self._began_ns = started_at, began_ns
        self.headers = _headers_of(span.get_span_context())

    def active(self) -> AbstractContextManager[None]:
        """While the context lasts, calls to services carry this trace."""
        return traced(self.headers)

    def end(self, facts: Mapping[str, object], steps: Sequence[tuple[str, float]], ended_at: float) -> None:
        """End the span. `facts`: as in the access line. Times are by `time.perf_counter`."""
        span = self._span
        if span.is_recording():
            self._tracing.describe(span, facts)
            ends = [*(began_at for _, began_at in steps), ended_at][1:]
            for (name, began_at), end_at in zip(steps, ends, strict=True):
                self._tracing.add_step(span, name, self._ns(began_at), self._ns(end_at))
        span.end(end_time=self._ns(ended_at))

    def _ns(self, at: float) -> int:
        return self._began_ns + int((at - self._started_at) * 1e9)


class Tracing:
    """Begins traces, and sends them in a thread of the SDK."""

    def __init__(self) -> None:
        """Prepare. OpenTelemetry's own variables say where traces are sent. Raises StartError without the extra."""
        try:
            from opentelemetry import trace  # noqa: PLC0415 - for those who ask for it
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
        except ImportError:
            raise StartError("PROVIDER_TRACING: install the extra: pip install 'ocean-stream-provider[otel]'") from None
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "ocean-provider"}))
        self._api = trace
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("provider", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, traceparent: str | None, started_at: float) -> Trace:
        """Begin the trace of a request. `started_at`: by `time.perf_counter`.

        The request may continue a trace from elsewhere.
        """
        began_ns = time.time_ns() - int((time.perf_counter() - started_at) * 1e9)
        parent = self._propagator.extract({"traceparent": traceparent}) if traceparent else None
        span = self._tracer.start_span(name, context=parent, kind=self._api.SpanKind.SERVER, start_time=began_ns)
        return Trace(self, span, started_at=started_at, began_ns=began_ns)

    def describe(self, span: Any, facts: Mapping[str, object]) -> None:
        """Set the attributes of a request's span. They have OpenTelemetry's conventional names if there are any."""
        status = facts["status"]
        span.set_attribute("http.request.method", facts["method"])
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("provider.request_id", facts["request_id"])
        span.set_attribute("provider.outcome", facts["outcome"])
        for name in _FACTS:
            if name in facts:
                span.set_attribute(f"provider.{name}", facts[name])
        if "code" in facts:
            span.set_attribute("error.type", facts["code"])
        if isinstance(status, int) and status >= 500:
            span.set_status(self._api.StatusCode.ERROR)

    def add_step(self, parent: Any, name: str, began_ns: int, ended_ns: int) -> None:
        """Add the span of a finished step."""
        context = self._api.set_span_in_context(parent)
        self._tracer.start_span(name, context=context, start_time=began_ns).end(end_time=ended_ns)

    async def close(self) -> None:
        """Send the remaining spans, within a time limit."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            loop.call_soon_threadsafe(sent.set)

        # A daemon thread, so that the process does not wait for an unreachable collector.
        threading.Thread(target=shut_down, name="tracing-end", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await sent.wait()
        except TimeoutError:
            return


def _headers_of(context: Any) -> Mapping[str, str]:
    """Write the headers of W3C Trace Context, section 3.2."""
    return {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"}
