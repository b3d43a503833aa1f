"""Every metric of the server, and the only place where their names exist.

Names follow Prometheus: base units, `_total` for counters, labels of bounded sets only (never a DID, address, URL or
transaction). Rooms do not import this module: they take the observers that `app.py` hands them.
"""

from collections.abc import Callable, Sized
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from provider import __version__

# A warm request is a fraction of a millisecond, one that waits for a chain or an origin up to some seconds.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# ECIES of a file list takes about 50 µs, of a 1 MB document about 200 µs.
DECRYPT_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
RPC_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


Metric = TypeVar("Metric", Counter, Histogram)


class Metrics:
    """The metrics over one registry.

    Looking labels up costs four times as much as counting, so labelled children are kept. What is counted many times a
    request is summed up first, because a sum costs a fifth of a Prometheus counter, and published by `publish`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "provider_requests", "Requests answered, by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "provider_request_seconds",
            "Time from the request's head to the end of the answer, streaming included.",
            ["endpoint"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._first_byte_seconds = Histogram(
            "provider_first_byte_seconds",
            "Time from the request's head to the first byte of a streamed answer.",
            ["endpoint"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._decrypt_seconds = Histogram(
            "provider_decrypt_seconds",
            "Time to decrypt, by what was decrypted.",
            ["what"],
            buckets=DECRYPT_BUCKETS,
            registry=registry,
        )
        self._streamed_bytes = Counter(
            "provider_streamed_bytes",
            "Body bytes handed to consumers, by endpoint and path (splice, copy) of their stream.",
            ["endpoint", "path"],
            registry=registry,
        )
        self._streams = Counter(
            "provider_streams",
            "Streams ended, by endpoint, outcome and path (splice, copy).",
            ["endpoint", "outcome", "path"],
            registry=registry,
        )
        self.streams_in_progress = Gauge(
            "provider_streams_in_progress", "Streams under way.", registry=registry, multiprocess_mode="livesum"
        )
        self._errors = Counter("provider_errors", "Refusals and failures, by error code.", ["code"], registry=registry)
        self._cache_requests = Counter(
            "provider_cache_requests", "Cache look-ups, by cache and result.", ["cache", "result"], registry=registry
        )
        self._cache_entries = Gauge(
            "provider_cache_entries", "Entries held.", ["cache"], registry=registry, multiprocess_mode="livesum"
        )
        self._rpc_seconds = Histogram(
            "provider_rpc_seconds",
            "Time of one JSON-RPC round trip, by chain, method and outcome.",
            ["chain", "method", "outcome"],
            buckets=RPC_BUCKETS,
            registry=registry,
        )
        self._nonces = Counter(
            "provider_nonces", "Nonces presented with a valid signature, by result.", ["result"], registry=registry
        )
        self.index_block = Gauge(
            "provider_index_block",
            "Last block the metadata index has read, by chain.",
            ["chain"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._proofs = Counter(
            "provider_proofs",
            "Proofs of download, by kind (http, chain) and outcome (queued, confirmed, lost, skipped).",
            ["kind", "outcome"],
            registry=registry,
        )
        self.proofs_queued = Gauge(
            "provider_proofs_queued",
            "Proofs of download neither confirmed nor lost so far.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._endpoint_block = Gauge(
            "provider_rpc_endpoint_block",
            "Latest block of an RPC endpoint, by chain and position in NETWORK_URL; only with several endpoints.",
            ["chain", "endpoint"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        build = Gauge("provider_build_info", "Always 1.", ["version"], registry=registry, multiprocess_mode="livemax")
        build.labels(__version__).set(1)
        self._children: dict[tuple[object, ...], Counter | Histogram] = {}
        self._sums: dict[tuple[Counter, str, str], int] = {}
        self._sized: dict[str, Sized] = {}

    def publish(self) -> None:
        """Publish the sums: before metrics are rendered, and every now and then for those who read them elsewhere."""
        sums, self._sums = self._sums, {}
        for (metric, first, second), amount in sums.items():
            self._child(metric, first, second).inc(amount)
        for cache, held in self._sized.items():
            self._cache_entries.labels(cache).set(len(held))

    def size_of(self, cache: str, held: Sized) -> None:
        """Publish from here on how many entries the cache of this name holds."""
        self._sized[cache] = held

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._child(self._requests, endpoint, str(status)).inc()
        self._child(self._request_seconds, endpoint).observe(seconds)

    def first_byte(self, endpoint: str, seconds: float) -> None:
        """The first byte of a streamed answer left."""
        self._child(self._first_byte_seconds, endpoint).observe(seconds)

    def stream(self, endpoint: str, outcome: str, path: str, body_bytes: int) -> None:
        """One stream ended."""
        self._child(self._streams, endpoint, outcome, path).inc()
        self._child(self._streamed_bytes, endpoint, path).inc(body_bytes)

    def decrypting(self, what: str) -> AbstractContextManager[object]:
        """Times a block that decrypts `files` or a `document`, whether it succeeds or not."""
        return self._child(self._decrypt_seconds, what).time()

    def error(self, code: str) -> None:
        """A refusal or failure with a code of `errors`."""
        self._child(self._errors, code).inc()

    def cache(self, cache: str, result: str) -> None:
        """Observer of `FactCache`: `hit`, `miss` or `evict`."""
        key = (self._cache_requests, cache, result)
        self._sums[key] = self._sums.get(key, 0) + 1

    def rpc(self, chain_id: int) -> Callable[[str, str, float], None]:
        """Observer of the `Rpc` of one chain."""
        chain = str(chain_id)

        def observe(method: str, outcome: str, seconds: float) -> None:
            self._child(self._rpc_seconds, chain, method, outcome).observe(seconds)

        return observe

    def height(self, chain_id: int) -> Callable[[int, int], None]:
        """Observer of the heights of one chain's endpoints."""
        chain = str(chain_id)
        return lambda endpoint, block: self._endpoint_block.labels(chain, str(endpoint + 1)).set(block)

    def nonce(self, result: str) -> None:
        """A nonce was `accepted` or `refused`."""
        self._child(self._nonces, result).inc()

    def proof(self, kind: str, outcome: str) -> None:
        """A proof of download was queued, skipped, or has ended."""
        self._child(self._proofs, kind, outcome).inc()

    def _child(self, metric: Metric, *labels: str) -> Metric:
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return cast(Metric, child)
