"""Every metric of the server: the only place where names, labels and buckets stand. `docs/metrics.md` is made of it.

Names follow Prometheus: base units, `_total` for counters, labels of bounded sets only (never a DID, address, URL or
transaction).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "summary"]
Merge = Literal["sum", "max", "min"]

# A warm request is a fraction of a millisecond, one that waits for a chain or an origin up to some seconds. Streams
# last as long as their consumers are slow; of those `provider_stream_bytes_per_second` tells more.
_REQUEST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
# Up to the first byte nothing but limits of seconds is waited for.
_FIRST_BYTE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# ECIES of a file list takes about 50 µs, of a 1 MB document about 200 µs, LZMA of one some tens of milliseconds.
_DECRYPT = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
# Nodes in the same network answer in a millisecond, public ones in some hundred; the usual limit is 10 s.
_RPC = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# From a disk with a battery or without a flush (100 µs) to one whose other writers are in the way.
_COMMIT = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
# Steps of four from a modem to a local disk: 64 KiB/s to 4 GiB/s.
_RATE = tuple(float(64 << 10 << (2 * step)) for step in range(9))
# Timers come up to a millisecond late on an idle loop; from 100 ms on consumers notice.
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_CHAIN = "chain id"
_CACHE = "`ddo`, `files`, `receipt`, `nft_state`, `datatoken`, `factory_nft`, `access_list`, …: one per cache"
_STREAMING = "`download` or `computeResult`"
_PATH = "`splice` (zero copy) or `copy`"
_OUTCOME = (
    "`complete`; the origin's fault: `upstream_truncated`, `upstream_timed_out`; the consumer's: `consumer_gone`, "
    "`consumer_stalled`"
)
_FILE_TYPE = "`url`, `ipfs`, `arweave`, `graphql`, `smartcontract`, `s3`, `ftp`, or `result` of a compute job"
_POSITION = "position in `NETWORK_URL`, from 1"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` as it is exposed, `labels` with the values they take, `buckets` of a histogram.

    `merge`: how the values of several workers become one; counters, histograms and summaries are always summed.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"


REQUESTS = Family(
    "provider_requests_total",
    "counter",
    "Requests answered.",
    {"endpoint": "name of the endpoint, `unknown` for none", "status": "HTTP status; 499: the client left before"},
)
REQUEST_SECONDS = Family(
    "provider_request_seconds",
    "histogram",
    "Time from the request's head to the end of the answer, streaming included.",
    {"endpoint": "name of the endpoint"},
    _REQUEST,
)
REQUESTS_IN_PROGRESS = Family("provider_requests_in_progress", "gauge", "Requests that are being answered.")
ERRORS = Family(
    "provider_errors_total",
    "counter",
    "Refusals, failures and streams that ended early.",
    {"code": "error code or end of a stream, see `errors.md`"},
)
ORDER_REFUSALS = Family(
    "provider_order_refusals_total",
    "counter",
    "Orders that were refused; also among `provider_errors_total`.",
    {"code": 'error code, see "Orders" in `errors.md`; `compute_order_invalid` and `compute_fees_not_paid`'},
)

STREAMS = Family(
    "provider_streams_total",
    "counter",
    "Streams ended.",
    {"endpoint": _STREAMING, "outcome": _OUTCOME, "path": _PATH},
)
STREAMS_IN_PROGRESS = Family("provider_streams_in_progress", "gauge", "Streams under way.")
STREAMED_BYTES = Family(
    "provider_streamed_bytes_total",
    "counter",
    "Body bytes of ended streams, by how they ended.",
    {
        "endpoint": _STREAMING,
        "service_type": "`access` or `compute`",
        "file_type": _FILE_TYPE,
        "path": _PATH,
        "outcome": _OUTCOME,
    },
)
STREAM_RESUMES = Family(
    "provider_stream_resumes_total",
    "counter",
    "Times that the rest of a broken body was had from a new request.",
    {"endpoint": _STREAMING},
)
STREAMS_RESUMED = Family(
    "provider_streams_resumed_total",
    "counter",
    "Ended streams that were resumed at least once.",
    {"endpoint": _STREAMING},
)
SENT_BYTES = Family(
    "provider_sent_bytes_total",
    "counter",
    "Body bytes handed to consumers so far, those of streams under way included; the one for rates.",
    {"endpoint": _STREAMING},
)
FIRST_BYTE_SECONDS = Family(
    "provider_first_byte_seconds",
    "histogram",
    "Time from the request's head to the first byte of a streamed answer.",
    {"endpoint": _STREAMING},
    _FIRST_BYTE,
)
STREAM_RATE = Family(
    "provider_stream_bytes_per_second",
    "histogram",
    "Throughput of each ended stream of 64 KiB and more, from its first byte to its last; shorter ones say nothing.",
    {"path": _PATH},
    _RATE,
)
PIPES_OPEN = Family("provider_pipes_open", "gauge", "Pipes for splicing that exist.")
PIPES_IN_USE = Family("provider_pipes_in_use", "gauge", "Pipes for splicing with bytes in them.")
PIPE_FALLBACKS = Family(
    "provider_pipe_fallbacks_total", "counter", "Times that bytes were copied because no pipe was to be had."
)

UPSTREAM_SECONDS = Family(
    "provider_upstream_seconds",
    "histogram",
    "Time until an origin's answer began: connection, request, redirects and head, not the body.",
    {"file_type": _FILE_TYPE, "result": "status class `2xx` to `5xx`, or the error code when there was no answer"},
    _FIRST_BYTE,
)
DECRYPT_SECONDS = Family(
    "provider_decrypt_seconds",
    "histogram",
    "Time to decrypt.",
    {"kind": "`files` (a file list) or `document` (a DDO)", "result": "`ok` or `failed`"},
    _DECRYPT,
)

NONCES = Family(
    "provider_nonces_total",
    "counter",
    "Nonces presented with a valid signature.",
    {"result": "`accepted`, `refused`, or `failed`: the store did not work"},
)
NONCE_COMMIT_SECONDS = Family(
    "provider_nonce_commit_seconds",
    "histogram",
    "Time until a nonce was durably used, or refused.",
    buckets=_COMMIT,
)

RPC_SECONDS = Family(
    "provider_rpc_seconds",
    "histogram",
    "Time of one exchange with one JSON-RPC endpoint.",
    {
        "chain": _CHAIN,
        "method": "JSON-RPC method, `batch` for several calls",
        "outcome": "`ok`, `timeout`, `unreachable`, `http_status`, `malformed`, `too_large`, `limited`, `wrong_chain`, "
        "`cancelled` (another endpoint answered first, or nobody waited any longer)",
    },
    _RPC,
)
RPC_CALLS = Family(
    "provider_rpc_calls_total", "counter", "JSON-RPC calls sent, each of a batch by itself.", {"chain": _CHAIN}
)
RPC_FAILOVERS = Family(
    "provider_rpc_failovers_total",
    "counter",
    "Times that an endpoint was put aside after a failure.",
    {"chain": _CHAIN, "endpoint": _POSITION},
)
RPC_HEDGES = Family(
    "provider_rpc_hedges_total",
    "counter",
    "Times that a further endpoint was asked because the one before was slow.",
    {"chain": _CHAIN},
)
RPC_ENDPOINT_UP = Family(
    "provider_rpc_endpoint_up",
    "gauge",
    "0 while a worker has the endpoint put aside, else 1.",
    {"chain": _CHAIN, "endpoint": _POSITION},
    merge="min",
)
RPC_ENDPOINT_BLOCK = Family(
    "provider_rpc_endpoint_block",
    "gauge",
    "Latest block of an endpoint; only with several of them.",
    {"chain": _CHAIN, "endpoint": _POSITION},
    merge="max",
)
CHAIN_BLOCK_HEIGHT = Family(
    "provider_chain_block_height",
    "gauge",
    "Latest block that a node told of, whenever one was asked.",
    {"chain": _CHAIN},
    merge="max",
)

CACHE_REQUESTS = Family(
    "provider_cache_requests_total", "counter", "Cache look-ups.", {"cache": _CACHE, "result": "`hit` or `miss`"}
)
CACHE_EVICTIONS = Family(
    "provider_cache_evictions_total", "counter", "Entries pushed out before their time.", {"cache": _CACHE}
)
CACHE_ENTRIES = Family("provider_cache_entries", "gauge", "Entries held.", {"cache": _CACHE})
CACHE_MAX_ENTRIES = Family("provider_cache_max_entries", "gauge", "Entries that fit.", {"cache": _CACHE})
CACHE_HIT_AGE_SECONDS = Family(
    "provider_cache_hit_age_seconds",
    "summary",
    "Age of entries when they were used: the sum over the count is how old facts are on average.",
    {"cache": _CACHE},
)

INDEX_BLOCK = Family(
    "provider_index_block", "gauge", "Last block that the metadata index has read.", {"chain": _CHAIN}, merge="max"
)
INDEX_BLOCKS_BEHIND = Family(
    "provider_index_blocks_behind",
    "gauge",
    "Blocks between the newest one seen and the last one that the metadata index has read.",
    {"chain": _CHAIN},
    merge="max",
)
INDEX_LAST_POLL = Family(
    "provider_index_last_poll_timestamp_seconds",
    "gauge",
    "When the metadata index last read the chain up to its end; `time() -` this is how long ago. 0: not yet.",
    {"chain": _CHAIN},
    merge="max",
)

PROOFS = Family(
    "provider_proofs_total",
    "counter",
    "Proofs of download.",
    {"kind": "`http` or `chain`", "outcome": "`queued`, `confirmed` (sent, and accepted), `lost`, `skipped`"},
)
PROOFS_QUEUED = Family(
    "provider_proofs_queued", "gauge", "Proofs of download neither confirmed nor lost so far.", merge="max"
)

LOOP_LAG = Family(
    "provider_event_loop_lag_seconds",
    "histogram",
    "How late a timer of the event loop was, sampled twice a second by each worker.",
    buckets=_LAG,
)
WORKERS = Family("provider_workers", "gauge", "Worker processes that serve.")
STORAGE_FREE = Family(
    "provider_storage_free_bytes", "gauge", "Free space of the disk behind `STORAGE_PATH`.", merge="min"
)
STORAGE_SIZE = Family("provider_storage_size_bytes", "gauge", "Size of the disk behind `STORAGE_PATH`.", merge="max")
CPU_SECONDS = Family("process_cpu_seconds_total", "counter", "CPU time, user and system, of all workers.")
RESIDENT_MEMORY = Family(
    "process_resident_memory_bytes",
    "gauge",
    "Resident memory of all workers; pages that they share count for each.",
)
OPEN_FDS = Family("process_open_fds", "gauge", "Open file descriptors of the worker with most.", merge="max")
MAX_FDS = Family("process_max_fds", "gauge", "File descriptors that one worker may have.", merge="min")
START_TIME = Family(
    "process_start_time_seconds", "gauge", "When the oldest worker started, in unix seconds.", merge="min"
)
BUILD_INFO = Family(
    "provider_build_info",
    "gauge",
    "Always 1.",
    {"version": "of this server", "python": "version of Python", "uvloop": "version of uvloop"},
    merge="max",
)

SECTIONS: Mapping[str, tuple[Family, ...]] = {
    "Requests": (REQUESTS, REQUEST_SECONDS, REQUESTS_IN_PROGRESS, ERRORS, ORDER_REFUSALS),
    "Streaming": (
        STREAMS,
        STREAMS_IN_PROGRESS,
        STREAMED_BYTES,
        STREAM_RESUMES,
        STREAMS_RESUMED,
        SENT_BYTES,
        FIRST_BYTE_SECONDS,
        STREAM_RATE,
        PIPES_OPEN,
        PIPES_IN_USE,
        PIPE_FALLBACKS,
    ),
    "Origins and decryption": (UPSTREAM_SECONDS, DECRYPT_SECONDS),
    "Nonces": (NONCES, NONCE_COMMIT_SECONDS),
    "Chains": (
        RPC_SECONDS,
        RPC_CALLS,
        RPC_FAILOVERS,
        RPC_HEDGES,
        RPC_ENDPOINT_UP,
        RPC_ENDPOINT_BLOCK,
        CHAIN_BLOCK_HEIGHT,
    ),
    "Caches": (CACHE_REQUESTS, CACHE_EVICTIONS, CACHE_ENTRIES, CACHE_MAX_ENTRIES, CACHE_HIT_AGE_SECONDS),
    "Metadata index": (INDEX_BLOCK, INDEX_BLOCKS_BEHIND, INDEX_LAST_POLL),
    "Proofs of download": (PROOFS, PROOFS_QUEUED),
    "Processes": (
        LOOP_LAG,
        WORKERS,
        STORAGE_FREE,
        STORAGE_SIZE,
        CPU_SECONDS,
        RESIDENT_MEMORY,
        OPEN_FDS,
        MAX_FDS,
        START_TIME,
        BUILD_INFO,
    ),
}
"""All families, in the order of the page and of the exposition."""

FAMILIES: Mapping[str, Family] = {family.name: family for families in SECTIONS.values() for family in families}


def bound_text(bound: float) -> str:
    """A bucket's bound as people write it."""
    return str(int(bound)) if bound >= 1 and bound.is_integer() else f"{bound:g}"
