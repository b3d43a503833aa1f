"""Every metric of the server: the only place where names, labels and buckets stand. `docs/metrics.md` is made of it.

Names follow Prometheus: base units, `_total` for counters, labels of bounded sets only (never a DID, address, URL or
transaction).
"""

from collections.abc import Mapping

from provider.observability.metrics.catalog import chains, processes, requests, state, streams
from provider.observability.metrics.family import Family

SECTIONS: Mapping[str, tuple[Family, ...]] = {
    "Requests": (
        requests.REQUESTS,
        requests.REQUEST_SECONDS,
        requests.REQUESTS_IN_PROGRESS,
        requests.ERRORS,
        requests.ORDER_REFUSALS,
    ),
    "Streaming": (
        streams.STREAMS,
        streams.STREAMS_IN_PROGRESS,
        streams.STREAMED_BYTES,
        streams.STREAM_RESUMES,
        streams.STREAMS_RESUMED,
        streams.SENT_BYTES,
        streams.FIRST_BYTE_SECONDS,
        streams.STREAM_RATE,
        streams.PIPES_OPEN,
        streams.PIPES_IN_USE,
        streams.PIPE_FALLBACKS,
    ),
    "Origins and decryption": (streams.UPSTREAM_SECONDS, streams.DECRYPT_SECONDS),
    "Nonces": (state.NONCES, state.NONCE_COMMIT_SECONDS),
    "Redis": (state.REDIS_SECONDS, state.REDIS_UP),
    "Chains": (
        chains.RPC_SECONDS,
        chains.RPC_CALLS,
        chains.RPC_FAILOVERS,
        chains.RPC_FAULTS,
        chains.RPC_HEDGES,
        chains.RPC_ENDPOINT_UP,
        chains.RPC_ENDPOINT_BLOCK,
        chains.CHAIN_BLOCK_HEIGHT,
        chains.CHAIN_HEADS,
    ),
    "Caches": (
        state.CACHE_REQUESTS,
        state.CACHE_EVICTIONS,
        state.CACHE_ENTRIES,
        state.CACHE_MAX_ENTRIES,
        state.CACHE_HIT_AGE_SECONDS,
    ),
    "Metadata index": (chains.INDEX_BLOCK, chains.INDEX_BLOCKS_BEHIND, chains.INDEX_LAST_POLL),
    "Proofs of download": (state.PROOFS, state.PROOFS_QUEUED),
    "Processes": (
        processes.LOOP_LAG,
        processes.WORKERS,
        processes.WORKER_RESTARTS,
        processes.CERTIFICATE_EXPIRY,
        processes.STORAGE_FREE,
        processes.STORAGE_SIZE,
        processes.CPU_SECONDS,
        processes.RESIDENT_MEMORY,
        processes.OPEN_FDS,
        processes.MAX_FDS,
        processes.START_TIME,
        processes.BUILD_INFO,
    ),
}
"""All families, in the order of the page and of the exposition."""

FAMILIES: Mapping[str, Family] = {family.name: family for families in SECTIONS.values() for family in families}
