"""Bodies: from where they come, and how they go to consumers."""

from provider.observability.metrics.family import Family

# Up to the first byte nothing but limits of seconds is waited for.
_FIRST_BYTE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Steps of four from a modem to a local disk: 64 KiB/s to 4 GiB/s.
_RATE = tuple(float(64 << 10 << (2 * step)) for step in range(9))
# ECIES of a file list takes about 50 µs, of a 1 MB document about 200 µs, LZMA of one some tens of milliseconds.
_DECRYPT = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

_STREAMING = "`download` or `computeResult`"
_PATH = "`splice` (zero copy) or `copy`"
_OUTCOME = (
    "`complete`; the origin's fault: `upstream_truncated`, `upstream_timed_out`; the consumer's: `consumer_gone`, "
    "`consumer_stalled`"
)
_FILE_TYPE = "`url`, `ipfs`, `arweave`, `graphql`, `smartcontract`, `s3`, `ftp`, or `result` of a compute job"

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
