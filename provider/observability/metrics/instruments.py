"""One instrument for each family of the catalog."""

from provider.observability.metrics.catalog import chains, processes, requests, state, streams
from provider.observability.metrics.values import Counter, Gauge, Histogram, Instrument, Summary


class Instruments:
    """All of them, each told in the catalog's words."""

    def __init__(self) -> None:
        self.requests = Counter(requests.REQUESTS)
        self.request_seconds = Histogram(requests.REQUEST_SECONDS)
        self.requests_in_progress = Gauge(requests.REQUESTS_IN_PROGRESS)
        self.errors = Counter(requests.ERRORS)
        self.order_refusals = Counter(requests.ORDER_REFUSALS)
        self.streams_ended = Counter(streams.STREAMS)
        self.streams_in_progress = Gauge(streams.STREAMS_IN_PROGRESS)
        self.streamed_bytes = Counter(streams.STREAMED_BYTES)
        self.streams_resumed = Counter(streams.STREAMS_RESUMED)
        self.sent_bytes = Counter(streams.SENT_BYTES)
        self.stream_resumes = Counter(streams.STREAM_RESUMES)
        self.first_byte_seconds = Histogram(streams.FIRST_BYTE_SECONDS)
        self.stream_rate = Histogram(streams.STREAM_RATE)
        self.pipes_open = Gauge(streams.PIPES_OPEN)
        self.pipes_in_use = Gauge(streams.PIPES_IN_USE)
        self.pipe_fallbacks = Counter(streams.PIPE_FALLBACKS)
        self.upstream_seconds = Histogram(streams.UPSTREAM_SECONDS)
        self.decrypt_seconds = Histogram(streams.DECRYPT_SECONDS)
        self.rpc_seconds = Histogram(chains.RPC_SECONDS)
        self.rpc_calls = Counter(chains.RPC_CALLS)
        self.rpc_failovers = Counter(chains.RPC_FAILOVERS)
        self.rpc_faults = Counter(chains.RPC_FAULTS)
        self.rpc_hedges = Counter(chains.RPC_HEDGES)
        self.rpc_endpoint_up = Gauge(chains.RPC_ENDPOINT_UP)
        self.rpc_endpoint_block = Gauge(chains.RPC_ENDPOINT_BLOCK)
        self.chain_block_height = Gauge(chains.CHAIN_BLOCK_HEIGHT)
        self.chain_heads = Counter(chains.CHAIN_HEADS)
        self.nonces = Counter(state.NONCES)
        self.nonce_commit_seconds = Histogram(state.NONCE_COMMIT_SECONDS)
        self.redis_seconds = Histogram(state.REDIS_SECONDS)
        self.redis_up = Gauge(state.REDIS_UP)
        self.cache_requests = Counter(state.CACHE_REQUESTS)
        self.cache_evictions = Counter(state.CACHE_EVICTIONS)
        self.cache_entries = Gauge(state.CACHE_ENTRIES)
        self.cache_max_entries = Gauge(state.CACHE_MAX_ENTRIES)
        self.cache_hit_age = Summary(state.CACHE_HIT_AGE_SECONDS)
        self.index_block = Gauge(chains.INDEX_BLOCK)
        self.index_blocks_behind = Gauge(chains.INDEX_BLOCKS_BEHIND)
        self.index_last_poll = Gauge(chains.INDEX_LAST_POLL)
        self.proofs = Counter(state.PROOFS)
        self.proofs_queued = Gauge(state.PROOFS_QUEUED)
        self._of_processes()

    def _of_processes(self) -> None:
        self.loop_lag = Histogram(processes.LOOP_LAG)
        self.storage_free = Gauge(processes.STORAGE_FREE)
        self.storage_size = Gauge(processes.STORAGE_SIZE)
        self.cpu_seconds = Counter(processes.CPU_SECONDS)
        self.resident_memory = Gauge(processes.RESIDENT_MEMORY)
        self.open_fds = Gauge(processes.OPEN_FDS)
        self.max_fds = Gauge(processes.MAX_FDS)
        self.build_info = Gauge(processes.BUILD_INFO)
        self.workers = Gauge(processes.WORKERS)
        self.worker_restarts = Counter(processes.WORKER_RESTARTS)
        self.certificate_expiry = Gauge(processes.CERTIFICATE_EXPIRY)
        self.start_time = Gauge(processes.START_TIME)

    @property
    def every(self) -> list[Instrument]:
        """For a snapshot."""
        return [value for value in vars(self).values() if isinstance(value, Counter | Histogram | Summary)]
