"""Metrics of the traffic: requests, streams, links, files, slices. Those of what is behind it: `backends.py`.

A metric is declared once: name, help, labels, buckets. The room that measures it gets its group. `docs/metrics.md` is
made from these declarations. Names follow Prometheus: base units, and `_total` for counters. Every label has a bounded
set of values: never an address, URL or transaction. One gauge names datasets, and only those that fail.

Of a piece of a body, only its bytes are counted. What can be read at any time, such as the size of a cache, is
followed: it is looked up only when somebody reads the metrics, or twice a second with several workers.
"""

import threading
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from provider.errors.fault import fault_of, known_codes
from provider.observability.metrics.instruments import Counter, Gauge, Group, Histogram

if TYPE_CHECKING:
    from provider.slices.store import SliceStore
    from provider.streaming.pipes import PipePool
    from provider.streaming.progress import Progress

# A warm request takes a fraction of a millisecond; one that waits for a chain or an origin, up to some seconds. Streams
# last as long as their consumers are slow: `provider_stream_bytes_per_second` says more about them.
_REQUEST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
# Only limits of seconds apply before the first byte.
_FIRST_BYTE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Steps of two from a modem to a local disk: 64 KiB/s to 4 GiB/s.
_RATE = tuple(float(64 << 10 << step) for step in range(17))
# ECIES of a file list takes about 50 µs, of a 1 MB document about 200 µs, LZMA of one some tens of milliseconds.
_DECRYPT = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

# Shorter bodies mostly measure the cost of system calls.
RATED_BYTES = 64 << 10
_PATHS = ("splice", "sendfile", "copy")
_EARLY_ENDS = ("upstream_truncated", "upstream_timed_out", "consumer_gone", "consumer_stalled")
_STREAMING = "`download`, `link` or `computeResult`"
_PATH = "`splice` or `sendfile` (zero copy, from a socket or a file), or `copy`"
_OUTCOME = (
    "`complete`; the origin's fault: `upstream_truncated`, `upstream_timed_out`; the consumer's: `consumer_gone`, "
    "`consumer_stalled`"
)
_FILE_TYPE = "`url`, `ipfs`, `arweave`, `graphql`, `smartcontract`, `s3`, `ftp`, `source`, or `result` of a compute job"


class Requests(Group):
    """Requests and refusals."""

    title = "Requests"

    answered = Counter(
        "provider_requests_total",
        "Requests answered.",
        {"endpoint": "name of the endpoint, `unknown` for none", "status": "HTTP status; 499: no answer was sent"},
    )
    seconds = Histogram(
        "provider_request_seconds",
        "Time from the request's head to the end of the answer, streaming included.",
        {"endpoint": "name of the endpoint"},
        buckets=_REQUEST,
    )
    in_progress = Gauge("provider_requests_in_progress", "Requests being answered.")
    errors = Counter(
        "provider_errors_total",
        "Refusals, failures and streams that ended early.",
        {"code": "error code or end of a stream, see `errors.md`", "fault": "`consumer`, `origin` or `ours`"},
        # Prometheus sees no increase in a series that is new: the first failure would raise no alert.
        begin=known_codes().items(),
    )
    order_refusals = Counter(
        "provider_order_refusals_total",
        "Orders refused; also counted in `provider_errors_total`.",
        {"code": 'error code, see "Orders" in `errors.md`; `compute_order_invalid` and `compute_fees_not_paid`'},
    )

    def answer(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.answered.add(endpoint, status)
        self.seconds.observe(seconds, endpoint)

    def fail(self, code: str) -> None:
        """Count one refusal, failure or early end of a stream."""
        self.errors.add(code, fault_of(code))


@dataclass(slots=True)
class Sent:
    """Body bytes that an endpoint has sent so far, those of streams in progress included."""

    endpoint: str
    bytes: int = 0


class Streams(Group):
    """Bodies on their way to consumers."""

    title = "Streaming"

    ended = Counter(
        "provider_streams_total",
        "Streams ended.",
        {"endpoint": _STREAMING, "outcome": _OUTCOME, "path": _PATH},
        begin=product(("download",), ("complete", *_EARLY_ENDS), _PATHS),
    )
    in_progress = Gauge("provider_streams_in_progress", "Streams in progress.")
    streamed_bytes = Counter(
        "provider_streamed_bytes_total",
        "Body bytes of ended streams, by outcome.",
        {
            "endpoint": _STREAMING,
            "service_type": "`access` or `compute`",
            "file_type": _FILE_TYPE,
            "path": _PATH,
            "outcome": _OUTCOME,
        },
    )
    resumes = Counter(
        "provider_stream_resumes_total",
        "Times that a broken body was continued with a new request.",
        {"endpoint": _STREAMING},
        begin=[("download",)],
    )
    resumed = Counter(
        "provider_streams_resumed_total",
        "Ended streams that were resumed at least once.",
        {"endpoint": _STREAMING},
        begin=[("download",)],
    )
    sent_bytes = Counter(
        "provider_sent_bytes_total",
        "Body bytes sent to consumers so far, including streams in progress. Use this one for rates.",
        {"endpoint": _STREAMING},
    )
    first_byte_seconds = Histogram(
        "provider_first_byte_seconds",
        "Time from the request's head to the first byte of a streamed answer.",
        {"endpoint": _STREAMING},
        buckets=_FIRST_BYTE,
    )
    bytes_per_second = Histogram(
        "provider_stream_bytes_per_second",
        "Throughput of each ended stream of at least 64 KiB, from its first byte to its last.",
        {"path": _PATH},
        buckets=_RATE,
        begin=[(path,) for path in _PATHS],
    )
    pipes_open = Gauge("provider_pipes_open", "Open pipes for splicing.")
    pipes_in_use = Gauge("provider_pipes_in_use", "Pipes for splicing that hold bytes.")
    pipe_fallbacks = Counter(
        "provider_pipe_fallbacks_total", "Times that bytes were copied because no pipe was available."
    )

    def __init__(self, *, is_on: bool = True) -> None:
        super().__init__(is_on=is_on)
        self.under_way = 0
        """Streams in progress. Known even if metrics are off."""
        # Kept as bytes are sent: with thousands of streams, adding them up would hold the loop for milliseconds.
        self._sent = {endpoint: Sent(endpoint) for endpoint in ("download", "link", "computeResult")}
        for endpoint in self._sent:
            self.sent_bytes.follow(partial(self.sent, endpoint), endpoint)
        self.in_progress.follow(lambda: self.under_way)

    def start(self, endpoint: str) -> Sent:
        """Count a stream until `end` or `fail`. Returns where its bytes are counted."""
        self.under_way += 1
        return self._sent[endpoint]

    def end(
        self,
        progress: "Progress",
        *,
        service_type: str,
        file_type: str,
        path: str,
        outcome: str,
        resumes: int,
        seconds: float,
    ) -> None:
        """Count a stream that ended `seconds` after its first byte; `outcome` and `path` as in `streaming.relay`."""
        self.fail()
        endpoint = progress.total.endpoint
        self.ended.add(endpoint, outcome, path)
        self.streamed_bytes.add(endpoint, service_type, file_type, path, outcome, by=progress.bytes_sent)
        if progress.bytes_sent >= RATED_BYTES and seconds > 0:
            self.bytes_per_second.observe(progress.bytes_sent / seconds, path)
        if resumes:
            self.resumes.add(endpoint, by=resumes)
            self.resumed.add(endpoint)

    def fail(self) -> None:
        """End a stream that never began or has no outcome."""
        self.under_way -= 1

    def sent(self, endpoint: str) -> int:
        """Body bytes of this process so far, including streams in progress."""
        return self._sent[endpoint].bytes

    def all_sent(self) -> int:
        """The same over all endpoints. Known even if metrics are off."""
        return sum(sent.bytes for sent in self._sent.values())

    def follow_pipes(self, pipes: "PipePool") -> None:
        """Follow the pipes for splicing."""
        self.pipes_open.follow(lambda: pipes.opened)
        self.pipes_in_use.follow(lambda: pipes.taken)
        self.pipe_fallbacks.follow(lambda: pipes.fallbacks)


class LinkMetrics(Group):
    """Links made and used."""

    title = "Links"

    changed = Counter(
        "provider_links_total",
        "Links made, renewed and revoked. A request that revokes links counts once.",
        {"change": "`made`, `renewed` or `revoked`"},
        begin=[("made",), ("renewed",), ("revoked",)],
    )
    requests = Counter(
        "provider_link_requests_total",
        "Requests of links. Signed downloads are not among them.",
        {
            "method": "`GET`, `HEAD` or `POST`",
            "outcome": "`ok`, `refused` (4xx), `failed` (5xx), or the early end of a stream",
        },
        begin=[("GET", "ok"), ("HEAD", "ok"), ("POST", "ok")],
    )


class Files(Group):
    """Origins that answer, and decryption of file lists and documents."""

    title = "Origins and decryption"

    upstream_seconds = Histogram(
        "provider_upstream_seconds",
        "Time until an origin's answer began: connection, request, redirects and head, not the body.",
        {"file_type": _FILE_TYPE, "result": "status class `2xx` to `5xx`, or the error code when there was no answer"},
        buckets=_FIRST_BYTE,
    )
    decrypt_seconds = Histogram(
        "provider_decrypt_seconds",
        "Time to decrypt.",
        {"kind": "`files` (a file list) or `document` (a DDO)", "result": "`ok` or `failed`"},
        buckets=_DECRYPT,
        begin=[("files", "ok"), ("document", "ok")],
    )

    def __init__(self, *, is_on: bool = True) -> None:
        super().__init__(is_on=is_on)
        self.lock = threading.Lock()
        """Held while a thread counts, and while all values are read."""

    @contextmanager
    def decrypting(self, kind: str) -> Iterator[None]:
        """Time a block that decrypts `files` or a `document`, in any thread."""
        began = time.perf_counter()
        result = "failed"
        try:
            yield
            result = "ok"
        finally:
            seconds = time.perf_counter() - began
            with self.lock:
                self.decrypt_seconds.observe(seconds, kind, result)


class Slices(Group):
    """The slice cache."""

    title = "Slice cache"

    requests = Counter(
        "provider_slice_requests_total",
        "Files opened, by what the slice cache did.",
        {
            "result": "`fresh` (from slices, the origin was not asked), `checked` (from slices, after the origin told "
            "which version it has), `passed` (from the origin)"
        },
        begin=[("fresh",), ("checked",), ("passed",)],
    )
    read_bytes = Counter(
        "provider_slice_read_bytes_total",
        "Bytes that consumers got from slices. Counted when a reader leaves a slice.",
        {"result": "`hit`, or `fill`: the slice was still being fetched when it was opened"},
        begin=[("hit",), ("fill",)],
    )
    origin_bytes = Counter(
        "provider_slice_origin_bytes_total", "Bytes that were fetched from origins into slices.", begin=[()]
    )
    evictions = Counter("provider_slice_evictions_total", "Slices removed to make room for others.", begin=[()])
    errors = Counter(
        "provider_slice_errors_total",
        "Faults of the slice cache. Consumers get their bytes from the origin then.",
        {"kind": "`disk` (full, read-only, gone, failing), `damaged` (a slice did not pass its check)"},
        begin=[("disk",), ("damaged",)],
    )
    fills = Gauge("provider_slice_fills", "Requests to origins that fill slices now.", begin=[()])
    # Workers share the directory.
    held_bytes = Gauge("provider_slice_bytes", "Size of all slices on disk.", merge="max", begin=[()])
    max_bytes = Gauge("provider_slice_max_bytes", "Size that the slices may have; 0 for none.", merge="max", begin=[()])
    held = Gauge("provider_slices", "Slices on disk.", merge="max", begin=[()])
    up = Gauge(
        "provider_slice_cache_up",
        "0 from a fault of the slice cache's disk on until a worker has written to it again; only with "
        "`PROVIDER_CACHE_DIR`.",
        merge="min",
    )

    def follow(self, store: "SliceStore", fills: Sized, *, max_bytes: int) -> None:
        """Follow the store and the set of fills."""
        self.fills.follow(lambda: len(fills))
        self.held_bytes.follow(lambda: store.bytes)
        self.held.follow(lambda: len(store))
        self.up.follow(lambda: not store.is_failing)
        self.max_bytes.set(max_bytes)
