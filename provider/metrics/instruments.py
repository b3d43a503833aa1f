"""One instrument for each family of the catalog."""

from provider.metrics import catalog
from provider.metrics.values import Counter, Gauge, Histogram, Instrument, Summary


class Instruments:
    """All of them; `every` in the catalog's order of definition here."""

    def __init__(self) -> None:
        self.requests = Counter(catalog.REQUESTS)
        self.request_seconds = Histogram(catalog.REQUEST_SECONDS)
        self.requests_in_progress = Gauge(catalog.REQUESTS_IN_PROGRESS)
        self.errors = Counter(catalog.ERRORS)
        self.order_refusals = Counter(catalog.ORDER_REFUSALS)
        self.streams_ended = Counter(catalog.STREAMS)
        self.streams_in_progress = Gauge(catalog.STREAMS_IN_PROGRESS)
        self.streamed_bytes = Counter(catalog.STREAMED_BYTES)
        self.streams_resumed = Counter(catalog.STREAMS_RESUMED)
        self.sent_bytes = Counter(catalog.SENT_BYTES)
        self.stream_resumes = Counter(catalog.STREAM_RESUMES)
        self.first_byte_seconds = Histogram(catalog.FIRST_BYTE_SECONDS)
        self.stream_rate = Histogram(catalog.STREAM_RATE)
        self.pipes_open = Gauge(catalog.PIPES_OPEN)
        self.pipes_in_use = Gauge(catalog.PIPES_IN_USE)
        self.pipe_fallbacks = Counter(catalog.PIPE_FALLBACKS)
        self.upstream_seconds = Histogram(catalog.UPSTREAM_SECONDS)
        self.decrypt_seconds = Histogram(catalog.DECRYPT_SECONDS)
        self.rpc_seconds = Histogram(catalog.RPC_SECONDS)
        self.rpc_calls = Counter(catalog.RPC_CALLS)
        self.rpc_failovers = Counter(catalog.RPC_FAILOVERS)
        self.rpc_hedges = Counter(catalog.RPC_HEDGES)
        self.rpc_endpoint_up = Gauge(catalog.RPC_ENDPOINT_UP)
        self.rpc_endpoint_block = Gauge(catalog.RPC_ENDPOINT_BLOCK)
        self.chain_block_height = Gauge(catalog.CHAIN_BLOCK_HEIGHT)
        self.nonces = Counter(catalog.NONCES)
        self.nonce_commit_seconds = Histogram(catalog.NONCE_COMMIT_SECONDS)
        self.cache_requests = Counter(catalog.CACHE_REQUESTS)
        self.cache_evictions = Counter(catalog.CACHE_EVICTIONS)
        self.cache_entries = Gauge(catalog.CACHE_ENTRIES)
        self.cache_max_entries = Gauge(catalog.CACHE_MAX_ENTRIES)
        self.cache_hit_age = Summary(catalog.CACHE_HIT_AGE_SECONDS)
        self.index_block = Gauge(catalog.INDEX_BLOCK)
        self.index_blocks_behind = Gauge(catalog.INDEX_BLOCKS_BEHIND)
        self.index_last_poll = Gauge(catalog.INDEX_LAST_POLL)
        self.proofs = Counter(catalog.PROOFS)
        self.proofs_queued = Gauge(catalog.PROOFS_QUEUED)
        self.loop_lag = Histogram(catalog.LOOP_LAG)
        self.storage_free = Gauge(catalog.STORAGE_FREE)
        self.storage_size = Gauge(catalog.STORAGE_SIZE)
        self.cpu_seconds = Counter(catalog.CPU_SECONDS)
        self.resident_memory = Gauge(catalog.RESIDENT_MEMORY)
        self.open_fds = Gauge(catalog.OPEN_FDS)
        self.max_fds = Gauge(catalog.MAX_FDS)
        self.build_info = Gauge(catalog.BUILD_INFO)
        self.workers = Gauge(catalog.WORKERS)
        self.start_time = Gauge(catalog.START_TIME)

    @property
    def every(self) -> list[Instrument]:
        """For a snapshot."""
        return [value for value in vars(self).values() if isinstance(value, Counter | Histogram | Summary)]
