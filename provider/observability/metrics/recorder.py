"""What the parts tell: one object whose methods are the observers that `app.py` hands to the rooms.

Nothing happens per piece of a body. What can be read at any time (sizes, pipes, the process) is looked at only when
somebody reads, or twice a second where several workers are added up.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from provider.observability.metrics.chain_observer import ChainObserver
from provider.observability.metrics.instruments import Instruments
from provider.observability.metrics.observed import Cache, Pipes, Sent
from provider.observability.metrics.process import ProcessLook
from provider.observability.metrics.shared import RESTART_REASONS, SharedMetrics
from provider.observability.metrics.values import Readings, Snapshot, merge, take_snapshot

# Of a body shorter than this the time tells nothing but what system calls cost.
RATED_BYTES = 64 << 10
_OUTCOMES = ("complete", "upstream_truncated", "upstream_timed_out", "consumer_gone", "consumer_stalled")


class Metrics:
    """All metrics of this process; `shared_directory` where it is one of several workers.

    To be used on the event loop's thread, but for `decrypting`.
    """

    def __init__(self, shared_directory: str | None = None) -> None:
        self._shared = SharedMetrics(shared_directory) if shared_directory is not None else None
        self._of = Instruments()
        self._caches: dict[str, Cache] = {}
        self._looks: list[Callable[[], None]] = []
        self._streams: dict[int, tuple[str, Sent]] = {}
        self._ended_bytes: dict[str, int] = {"download": 0, "computeResult": 0}
        self._decrypt_lock = threading.Lock()
        self._process = ProcessLook(self._of)
        self._stepped_back = False
        self._of.workers.set(1)
        self._of.start_time.set(time.time())
        self._begin_with_zeros()

    def _begin_with_zeros(self) -> None:
        """What is seen first with its first count has no growth then: alerts would miss it."""
        of = self._of
        for path in ("splice", "copy"):
            of.stream_rate.begin((path,))
            for outcome in _OUTCOMES:
                of.streams_ended.add(("download", outcome, path), 0)
        for outcome in _OUTCOMES[1:]:
            of.errors.add((outcome,), 0)
        of.stream_resumes.add(("download",), 0)
        of.streams_resumed.add(("download",), 0)
        for kind in ("files", "document"):
            of.decrypt_seconds.begin((kind, "ok"))
        for result in ("accepted", "refused", "failed"):
            of.nonces.add((result,), 0)
        of.nonce_commit_seconds.begin()
        of.loop_lag.begin()
        if self._shared is not None:
            # The supervisor counts them.
            for reason in RESTART_REASONS:
                of.worker_restarts.add((reason,), 0)

    @property
    def is_on(self) -> bool:
        """Is anything counted at all?"""
        return True

    # What requests tell.

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._of.requests.add((endpoint, status))
        self._of.request_seconds.observe(seconds, (endpoint,))

    def error(self, code: str) -> None:
        """A refusal or failure with a code of `errors`, or the end of a stream."""
        self._of.errors.add((code,))

    def order_refused(self, code: str) -> None:
        """An order was refused; told besides `error`."""
        self._of.order_refusals.add((code,))

    def first_byte(self, endpoint: str, seconds: float) -> None:
        """The first byte of a streamed answer leaves."""
        self._of.first_byte_seconds.observe(seconds, (endpoint,))

    def upstream(self, file_type: str, result: str, seconds: float) -> None:
        """An origin's answer began (`2xx` to `5xx`), or there was none (an error code)."""
        self._of.upstream_seconds.observe(seconds, (file_type, result))

    def stream_begins(self, endpoint: str, progress: Sent) -> None:
        """A stream is under way; `progress` is read now and then until `stream_ended`."""
        self._streams[id(progress)] = (endpoint, progress)

    def stream_ended(
        self,
        progress: Sent,
        *,
        service_type: str,
        file_type: str,
        path: str,
        outcome: str,
        seconds: float,
    ) -> None:
        """It has ended, `seconds` after its first byte; `outcome` and `path` as `streaming.relay` names them."""
        endpoint, _ = self._streams.pop(id(progress))
        count_bytes = progress.bytes_sent
        self._ended_bytes[endpoint] += count_bytes
        self._of.streams_ended.add((endpoint, outcome, path))
        self._of.streamed_bytes.add((endpoint, service_type, file_type, path, outcome), count_bytes)
        if count_bytes >= RATED_BYTES and seconds > 0:
            self._of.stream_rate.observe(count_bytes / seconds, (path,))

    def resumed(self, endpoint: str, resumes: int) -> None:
        """The rest of a broken body was had from new requests, so many times in one stream."""
        self._of.stream_resumes.add((endpoint,), resumes)
        self._of.streams_resumed.add((endpoint,))

    def stream_failed(self, progress: Sent) -> None:
        """It never began, or failed in a way that has no outcome: only the bytes that left are counted."""
        endpoint, _ = self._streams.pop(id(progress))
        self._ended_bytes[endpoint] += progress.bytes_sent

    def decrypting(self, kind: str) -> AbstractContextManager[None]:
        """Times a block that decrypts `files` or a `document`, whether it succeeds or not; in any thread."""
        return self._timed(kind)

    @contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        began = time.perf_counter()
        result = "failed"
        try:
            yield
            result = "ok"
        finally:
            seconds = time.perf_counter() - began
            with self._decrypt_lock:
                self._of.decrypt_seconds.observe(seconds, (kind, result))

    # What the rooms tell.

    def nonce(self, result: str, seconds: float) -> None:
        """The store took `seconds` to say `accepted` or `refused`, or has `failed`."""
        self._of.nonces.add((result,))
        self._of.nonce_commit_seconds.observe(seconds)

    def redis(self, operation: str, seconds: float, is_answered: bool) -> None:
        """Redis was asked something."""
        self._of.redis_seconds.observe(seconds, (operation, "ok" if is_answered else "failed"))

    def watch_redis(self, operations: Iterable[str], is_up: Callable[[], bool]) -> None:
        """From here on tell whether Redis is given up; `operations` are what it will be asked."""
        for operation in operations:
            for result in ("ok", "failed"):
                self._of.redis_seconds.begin((operation, result))
        self._looks.append(lambda: self._of.redis_up.set(is_up()))

    def chain(self, chain_id: int) -> ChainObserver:
        """Observer of the client of one chain."""
        self._of.rpc_calls.add((chain_id,), 0)
        self._of.rpc_hedges.add((chain_id,), 0)
        self._of.chain_heads.add((chain_id,), 0)
        return ChainObserver(self._of, chain_id)

    def watch_endpoints(self, chain_id: int, up: Callable[[], Mapping[int, bool]]) -> None:
        """From here on tell which endpoints of a chain (by position, from 0) are not put aside."""
        for endpoint in up():
            self._of.rpc_failovers.add((chain_id, endpoint + 1), 0)
            self._of.rpc_faults.add((chain_id, endpoint + 1), 0)

        def look() -> None:
            for endpoint, is_up in up().items():
                self._of.rpc_endpoint_up.set(is_up, (chain_id, endpoint + 1))

        self._looks.append(look)

    def watch_cache(self, name: str, cache: Cache) -> None:
        """From here on tell what the cache of this name does and holds."""
        self._caches[name] = cache

    def watch_pipes(self, pipes: Pipes) -> None:
        """From here on tell of the pipes for splicing."""

        def look() -> None:
            self._of.pipes_open.set(pipes.opened)
            self._of.pipes_in_use.set(pipes.taken)
            self._of.pipe_fallbacks.values[()] = pipes.fallbacks

        self._looks.append(look)

    def watch_requests(self, in_progress: Callable[[], int]) -> None:
        """From here on tell how many requests are being answered."""
        self._looks.append(lambda: self._of.requests_in_progress.set(in_progress()))

    def watch_storage(self, folder: str) -> None:
        """From here on tell how full the disk is."""
        self._process.storage_folder = folder

    def watch_certificate(self, expires_at: Callable[[], float | None]) -> None:
        """From here on tell until when (unix seconds) the certificate in use is valid."""

        def look() -> None:
            end = expires_at()
            if end is not None:
                self._of.certificate_expiry.set(end)

        self._looks.append(look)

    def watch_index(self, behind: Callable[[], Mapping[int, int | None]]) -> None:
        """From here on tell how far the metadata index is behind each chain that this worker reads."""
        for chain_id in behind():
            self._of.index_last_poll.set(0, (chain_id,))

        def look() -> None:
            for chain_id, blocks in behind().items():
                if blocks is not None:
                    self._of.index_blocks_behind.set(blocks, (chain_id,))

        self._looks.append(look)

    def index_read(self, chain_id: int, block: int) -> None:
        """The metadata index has read up to this block."""
        self._of.index_block.set(block, (chain_id,))

    def index_level(self, chain_id: int) -> None:
        """The metadata index has read a chain up to its end just now."""
        self._of.index_last_poll.set(time.time(), (chain_id,))

    def proof(self, kind: str, outcome: str) -> None:
        """A proof of download was queued, skipped, or has ended."""
        self._of.proofs.add((kind, outcome))

    def proofs_queued(self, count: int) -> None:
        """So many have not ended."""
        self._of.proofs_queued.set(count)

    def loop_lag(self, seconds: float) -> None:
        """A timer of the event loop was so late."""
        self._of.loop_lag.observe(seconds)

    # Reading.

    def hand_over(self) -> None:
        """Another worker has our place: how we see the present must not stand above how it does.

        Told from here on are what is counted and what is summed, not what is the most or least of all workers.
        """
        self._stepped_back = True
        self.publish()

    def publish(self) -> None:
        """Bring up to date what the other workers read of us, where there are some."""
        if self._shared is not None:
            self._shared.write(self.snapshot())

    def read(self) -> Readings:
        """The values of all workers, ours as they are now."""
        own = self.snapshot()
        return merge([own]) if self._shared is None else self._shared.read(own)

    def ended_bytes(self) -> int:
        """Body bytes of the streams of this process that have ended."""
        return sum(self._ended_bytes.values())

    def silent_seconds(self) -> Mapping[int, float]:
        """How long ago the other workers, by process id, were last heard of."""
        ages = {} if self._shared is None else self._shared.silent_seconds()
        return {process_id: age for process_id, age in ages.items() if process_id != os.getpid()}

    def snapshot(self) -> Snapshot:
        """The values of this process, looked at now; to be used before the loop turns."""
        for look in self._looks:
            look()
        self._look_at_caches()
        self._look_at_streams()
        self._process.look()
        with self._decrypt_lock:
            return take_snapshot(
                instrument
                for instrument in self._of.every
                if not self._stepped_back or instrument.family.merge == "sum"
            )

    def _look_at_caches(self) -> None:
        for name, cache in self._caches.items():
            counts = cache.counts
            self._of.cache_requests.values[(name, "hit")] = counts.hits
            self._of.cache_requests.values[(name, "miss")] = counts.misses
            self._of.cache_evictions.values[(name,)] = counts.evictions
            self._of.cache_entries.set(len(cache), (name,))
            self._of.cache_max_entries.set(cache.max_entries, (name,))
            self._of.cache_hit_age.set(counts.hit_age_seconds, counts.hits, (name,))

    def _look_at_streams(self) -> None:
        under_way = dict.fromkeys(self._ended_bytes, 0)
        for endpoint, progress in self._streams.values():
            under_way[endpoint] += progress.bytes_sent
        for endpoint, ended in self._ended_bytes.items():
            self._of.sent_bytes.values[(endpoint,)] = ended + under_way[endpoint]
        self._of.streams_in_progress.set(len(self._streams))
