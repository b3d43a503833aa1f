"""What the Grafana dashboard shows: rows of panels, their queries, units and words. `dashboard.py` makes the model.

Names and labels of metrics are those of `docs/metrics.md`. Queries take `$__rate_interval`, so that any scrape interval
and any time range fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What every selector has; `$chain` only where there is that label.
HERE = 'job=~"$job", instance=~"$instance"'
CHAIN = 'chain=~"$chain"'
NOT_STREAMED = 'endpoint!~"download|link|computeResult"'
COMPLETE = 'outcome="complete"'
FAILED_STATUS = 'status=~"5.."'
GREEN, YELLOW, RED, BLUE = "green", "#EAB839", "red", "blue"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries`: expression by legend. `steps`: thresholds, colour by the value it begins at (None: lowest).

    `more` goes over the field's defaults, `options` over the panel's.
    """

    title: str
    text: str
    queries: Mapping[str, str]
    unit: str
    width: int = 8
    height: int = 8
    kind: str = "timeseries"
    steps: Mapping[float | None, str] = field(default_factory=dict)
    stacked: bool = False
    more: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)


def at(where: str = "") -> str:
    """Matchers of a selector: those that all have, and more."""
    return f"{{{HERE}, {where}}}" if where else f"{{{HERE}}}"


def rate(name: str, where: str = "", by: str = "") -> str:
    """Sum of the rates of a counter."""
    inner = f"(rate({name}{at(where)}[$__rate_interval]))"
    return f"sum by ({by}) {inner}" if by else f"sum{inner}"


def quantile(share: float, name: str, where: str = "", by: str = "") -> str:
    """Quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', where, f'{by}, le' if by else 'le')})"


def quantiles(name: str, where: str = "") -> dict[str, str]:
    """The three that are shown."""
    return {label: quantile(share, name, where) for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def total(name: str, where: str = "", by: str = "", how: str = "sum") -> str:
    """A gauge of all instances."""
    return f"{how} by ({by}) ({name}{at(where)})" if by else f"{how}({name}{at(where)})"


def ratio(part: str, whole: str) -> str:
    """Nothing instead of a division by zero."""
    return f"{part} / ({whole} > 0)"


def failing_downloads(fault: str) -> str:
    """Share of the downloads that failed by this fault."""
    # 0 instead of nothing while none has failed.
    by_fault = rate("provider_errors_total", f'fault="{fault}"')
    failed = f"({by_fault} or vector(0))"
    return ratio(failed, f"({failed} + {rate('provider_streams_total', COMPLETE)})")


def stat(title: str, text: str, query: str, unit: str, steps: Mapping[float | None, str]) -> Panel:
    """One large number."""
    return Panel(title, text, {title: query}, unit, width=3, height=4, kind="stat", steps=steps)


ALL = rate("provider_requests_total")
FAILED = f"({rate('provider_requests_total', FAILED_STATUS)} or vector(0))"
FAILED_BY_INSTANCE = (
    f"({rate('provider_requests_total', FAILED_STATUS, 'instance')} "
    f"or 0 * {rate('provider_requests_total', by='instance')})"
)
BLOCKS_BEHIND = (
    f"max by (job, instance, chain) (provider_rpc_endpoint_block{at(CHAIN)}) "
    f"- on (job, instance, chain) group_right () provider_rpc_endpoint_block{at(CHAIN)}"
)
WRITER_CORES = f"sum by (instance) (deriv(provider_nonce_writer_cpu_seconds{at()}[$__rate_interval]))"
RESTARTED = f"sum by (instance, reason) (increase(provider_worker_restarts_total{at()}[$__rate_interval]))"
UPTIME = f"provider_build_info{at()} * on (job, instance) group_left () (time() - process_start_time_seconds{at()})"
OVERLOAD = 'code=~"too_many_.*|server_busy|server_full|inspections_busy|bodies_full|contract_checks_busy"'
UNTRUSTED = 'code=~"signature_invalid|nonce_refused|token_.*|contract_checks_busy"'
NOT_ALLOWED = (
    'code=~"access_denied|policy_refused|rbac_refused|decrypter_not_authorized|document_state_refused|unsafe_address"'
)
SECONDS_STEPS: dict[float | None, str] = {None: GREEN, 1.0: YELLOW, 2.5: RED}

OVERVIEW = (
    stat(
        "Instances",
        "Targets of this job that Prometheus reaches.",
        f"sum(up{at()})",
        "short",
        {None: RED, 1: GREEN},
    ),
    stat("Requests", "Requests answered per second.", rate("provider_requests_total"), "reqps", {None: BLUE}),
    stat(
        "Failed",
        "Share of the requests that were answered with 5xx. The alert is at 5 %.",
        ratio(FAILED, ALL),
        "percentunit",
        {None: GREEN, 0.01: YELLOW, 0.05: RED},
    ),
    stat(
        "First byte, p95",
        "95 % of the downloads begin within this time.",
        quantile(0.95, "provider_first_byte_seconds"),
        "s",
        SECONDS_STEPS,
    ),
    stat("Sent", "Body bytes handed to consumers per second.", rate("provider_sent_bytes_total"), "Bps", {None: BLUE}),
    stat("Streams", "Streams under way.", total("provider_streams_in_progress"), "short", {None: BLUE}),
    stat(
        "Chains reached",
        "Share of the chains of which at least one endpoint is not ejected.",
        f"avg(max by (job, instance, chain) (provider_rpc_endpoint_up{at(CHAIN)}))",
        "percentunit",
        {None: RED, 1: GREEN},
    ),
    stat(
        "Cut by origins",
        "Share of the streams that origins ended early or stopped sending. The alert is at 5 %.",
        ratio(rate("provider_streams_total", 'outcome=~"upstream_.*"'), rate("provider_streams_total")),
        "percentunit",
        {None: GREEN, 0.01: YELLOW, 0.05: RED},
    ),
)

TRAFFIC = (
    Panel(
        "Requests by endpoint",
        "Requests answered per second.",
        {"{{endpoint}}": rate("provider_requests_total", by="endpoint")},
        "reqps",
        stacked=True,
    ),
    Panel(
        "Requests by status",
        "429: turned away; 499: the consumer left before the answer began; 5xx: ours, or a service's behind us.",
        {"{{status}}": rate("provider_requests_total", by="status")},
        "reqps",
        stacked=True,
        colours={"2..": GREEN, "3..": BLUE, "4..": YELLOW, "5..": RED},
    ),
    Panel(
        "Refusals and failures by code",
        "The ten most frequent; docs/errors.md has cause and remedy of each.",
        {"{{code}}": f"topk(10, {rate('provider_errors_total', by='code')} > 0)"},
        "reqps",
    ),
    Panel(
        "Requests in progress",
        "Requests that are being answered, streams included.",
        {"{{instance}}": total("provider_requests_in_progress", by="instance")},
        "short",
        width=6,
    ),
    Panel(
        "Failed requests",
        "Share answered with 5xx. The alert is at the red line.",
        {
            "{{instance}}": ratio(FAILED_BY_INSTANCE, rate("provider_requests_total", by="instance")),
        },
        "percentunit",
        steps={None: "transparent", 0.05: RED},
        width=6,
    ),
    Panel(
        "Refused for load by code",
        "`server_*`, `bodies_full`: limits of the whole server. Others: of one consumer, client or kind of work.",
        {"{{code}}": rate("provider_errors_total", OVERLOAD, "code")},
        "reqps",
        width=6,
    ),
    Panel(
        "Refused orders by code",
        "Orders that did not pass the check. Many `order_fee_mismatch`: the wrong key is configured.",
        {"{{code}}": rate("provider_order_refusals_total", by="code")},
        "reqps",
        width=6,
    ),
)

LATENCY = (
    Panel(
        "Answers that do not stream",
        "Time from the request's head to the end of the answer; download, link and computeResult are left out.",
        quantiles("provider_request_seconds", NOT_STREAMED),
        "s",
        steps={None: "transparent", 2.5: RED},
    ),
    Panel(
        "First byte of streams",
        "Time from the request's head to the first byte.",
        quantiles("provider_first_byte_seconds"),
        "s",
        steps={None: "transparent", 2.5: RED},
    ),
    Panel(
        "First byte, distribution",
        "Downloads per second, by the time until their first byte.",
        {"{{le}}": rate("provider_first_byte_seconds_bucket", by="le")},
        "s",
        kind="heatmap",
    ),
    Panel(
        "Answers by endpoint, p95",
        "95 % of the answers of each endpoint end within this time.",
        {"{{endpoint}}": quantile(0.95, "provider_request_seconds", NOT_STREAMED, "endpoint")},
        "s",
    ),
    Panel(
        "Decryption",
        "Time to decrypt file lists and documents. It grows with their length, and with a busy processor.",
        {
            "files p50": quantile(0.5, "provider_decrypt_seconds", 'kind="files"'),
            "files p95": quantile(0.95, "provider_decrypt_seconds", 'kind="files"'),
            "documents p95": quantile(0.95, "provider_decrypt_seconds", 'kind="document"'),
        },
        "s",
    ),
    Panel(
        "Origins, p95",
        "Time until an origin's answer began, by kind of file.",
        {"{{file_type}}": quantile(0.95, "provider_upstream_seconds", by="file_type")},
        "s",
    ),
)

STREAMING = (
    Panel(
        "Bytes sent",
        "Body bytes handed to consumers per second, those of streams under way included.",
        {"{{endpoint}}": rate("provider_sent_bytes_total", by="endpoint")},
        "Bps",
        stacked=True,
    ),
    Panel(
        "Streams under way",
        "By instance.",
        {"{{instance}}": total("provider_streams_in_progress", by="instance")},
        "short",
        stacked=True,
    ),
    Panel(
        "Streams by end",
        "`upstream_*` is the origin's fault, `consumer_*` the consumer's.",
        {"{{outcome}}": rate("provider_streams_total", by="outcome")},
        "ops",
        stacked=True,
        colours={"complete": GREEN, "upstream_.*": RED, "consumer_.*": YELLOW},
    ),
    Panel(
        "Throughput of one stream",
        "Of streams of 64 KiB and more that have ended. Slow ones are mostly slow consumers.",
        {
            "{{path}} p50": quantile(0.5, "provider_stream_bytes_per_second", by="path"),
            "{{path}} p95": quantile(0.95, "provider_stream_bytes_per_second", by="path"),
        },
        "Bps",
        more={"custom": {"scaleDistribution": {"type": "log", "log": 10}}},
    ),
    Panel(
        "Bytes by path",
        "Of ended streams. `splice` and `sendfile` stay in the kernel. `copy` is for TLS, decoding and small bodies.",
        {"{{path}}": rate("provider_streamed_bytes_total", by="path")},
        "Bps",
        stacked=True,
    ),
    Panel(
        "Bytes by service and file type",
        "Of ended streams.",
        {"{{service_type}} {{file_type}}": rate("provider_streamed_bytes_total", by="service_type, file_type")},
        "Bps",
        stacked=True,
    ),
    Panel(
        "Answers of origins",
        "Status class, or the error code when there was no answer.",
        {"{{result}}": rate("provider_upstream_seconds_count", by="result")},
        "reqps",
        stacked=True,
        colours={"2xx": GREEN},
        width=6,
    ),
    Panel(
        "Bytes of streams that did not complete",
        "Sent in vain, unless the consumer continues with `Range`.",
        {"{{outcome}}": rate("provider_streamed_bytes_total", 'outcome!="complete"', "outcome")},
        "Bps",
        width=6,
    ),
    Panel(
        "Resumed streams",
        "The rest of a broken body was asked for again, and ended streams that needed it; per second.",
        {"resumes": rate("provider_stream_resumes_total"), "streams": rate("provider_streams_resumed_total")},
        "ops",
        width=6,
    ),
    Panel(
        "Pipes",
        "Pipes exist and are in use; copied: streams per second that found no free pipe.",
        {
            "exist": total("provider_pipes_open"),
            "in use": total("provider_pipes_in_use"),
            "copied instead": rate("provider_pipe_fallbacks_total"),
        },
        "short",
        width=6,
    ),
)

OF_LINKS = 'endpoint="link"'
LINKS = (
    Panel(
        "Links made and ended",
        "Per second. A request that revokes links counts once, however many it ends.",
        {"{{change}}": rate("provider_links_total", by="change")},
        "ops",
        width=6,
        colours={"revoked": YELLOW},
    ),
    Panel(
        "Requests of links",
        "`refused` is mostly an expired or revoked link, or a file that has changed. Players and readers of ranges "
        "make many requests and often leave early.",
        {"{{method}} {{outcome}}": rate("provider_link_requests_total", by="method, outcome")},
        "reqps",
        width=6,
        stacked=True,
        colours={".* failed": RED, ".* upstream_.*": RED, ".* refused": YELLOW},
    ),
    Panel(
        "Bytes sent over links",
        "Those of streams under way included.",
        {"bytes": rate("provider_sent_bytes_total", OF_LINKS)},
        "Bps",
        width=6,
    ),
    Panel(
        "First byte of links",
        "From the request's head to the first byte. Links need no signature check and store no nonce.",
        quantiles("provider_first_byte_seconds", OF_LINKS),
        "s",
        width=6,
    ),
)

CHAINS = (
    Panel(
        "Calls to nodes",
        "JSON-RPC calls sent per second; a batch counts each.",
        {"chain {{chain}}": rate("provider_rpc_calls_total", CHAIN, "chain")},
        "ops",
        stacked=True,
    ),
    Panel(
        "Answers of nodes, p95",
        "Time of one exchange, by method; `batch` is several calls at once.",
        {"{{chain}} {{method}}": quantile(0.95, "provider_rpc_seconds", f'{CHAIN}, outcome="ok"', "chain, method")},
        "s",
        steps={None: "transparent", 2: RED},
    ),
    Panel(
        "Exchanges by outcome",
        "`cancelled`: another endpoint answered first, or nobody waited any longer.",
        {"{{outcome}}": rate("provider_rpc_seconds_count", CHAIN, "outcome")},
        "ops",
        stacked=True,
        colours={"ok": GREEN, "cancelled": BLUE},
    ),
    Panel(
        "Endpoints",
        "Red while a worker has ejected the endpoint. Endpoints are numbered as in NETWORK_URL.",
        {
            "{{chain}} #{{endpoint}} {{instance}}": total(
                "provider_rpc_endpoint_up", CHAIN, "chain, endpoint, instance", "min"
            )
        },
        "short",
        kind="state-timeline",
        steps={None: RED, 1: GREEN},
        more={
            "mappings": [
                {"type": "value", "options": {"0": {"text": "ejected", "index": 0}, "1": {"text": "up", "index": 1}}}
            ]
        },
    ),
    Panel(
        "Failovers, faults and hedges",
        "Per second. Failover: an endpoint failed and was ejected. Fault: it answered one call with an error, and "
        "the next was asked. Hedge: an endpoint was slow, and a further one was asked.",
        {
            "fault {{chain}} #{{endpoint}}": rate("provider_rpc_faults_total", CHAIN, "chain, endpoint"),
            "failover {{chain}} #{{endpoint}}": rate("provider_rpc_failovers_total", CHAIN, "chain, endpoint"),
            "hedge {{chain}}": rate("provider_rpc_hedges_total", CHAIN, "chain"),
        },
        "ops",
    ),
    Panel(
        "Endpoints behind",
        "Blocks behind the highest endpoint of the chain; only where there are several. The alert is at 20.",
        {"{{chain}} #{{endpoint}} {{instance}}": BLOCKS_BEHIND},
        "short",
        steps={None: "transparent", 20: RED},
    ),
    Panel(
        "New blocks",
        "Per minute: blocks told by nodes (0 while nobody asks, or the chain stands still) and read by the index, "
        "and how often nodes told their latest one.",
        {
            "chain {{chain}}": f"60 * max by (chain) (deriv(provider_chain_block_height{at(CHAIN)}[$__rate_interval]))",
            "index {{chain}}": f"60 * max by (chain) (deriv(provider_index_block{at(CHAIN)}[$__rate_interval]))",
            "told {{chain}}": f"60 * {rate('provider_chain_heads_total', CHAIN, 'chain')}",
        },
        "short",
    ),
    Panel(
        "Index behind",
        "Blocks that the metadata index has not read yet; only without AQUARIUS_URL. The alert is at 100.",
        {"chain {{chain}}": total("provider_index_blocks_behind", CHAIN, "chain", "max")},
        "short",
        steps={None: "transparent", 100: RED},
    ),
    Panel(
        "Index last up to date",
        "How long ago the metadata index had read the chain to its end, and how long it takes until it has. "
        "The alert is at ten minutes.",
        {
            "chain {{chain}}": f"time() - max by (chain) (provider_index_last_poll_timestamp_seconds{at(CHAIN)} > 0)",
            "left {{chain}}": total("provider_index_left_seconds", CHAIN, "chain", "max"),
        },
        "s",
        steps={None: "transparent", 600: RED},
    ),
)

CACHES = (
    Panel(
        "Hits",
        "Share of the lookups that found an entry.",
        {
            "{{cache}}": ratio(
                rate("provider_cache_requests_total", 'result="hit"', "cache"),
                rate("provider_cache_requests_total", by="cache"),
            ),
        },
        "percentunit",
        width=6,
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Full",
        "Number of entries, as a share of those that fit.",
        {
            "{{cache}}": ratio(
                total("provider_cache_entries", by="cache"), total("provider_cache_max_entries", by="cache")
            ),
        },
        "percentunit",
        width=6,
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Evictions",
        "Entries evicted before they expired, per second. If there are many, raise the size under [cache].",
        {"{{cache}}": rate("provider_cache_evictions_total", by="cache")},
        "ops",
        width=6,
    ),
    Panel(
        "Age at use",
        "How old facts were on average when they were used: changes on chain were noticed at most this much later.",
        {
            "{{cache}}": ratio(
                rate("provider_cache_hit_age_seconds_sum", by="cache"),
                rate("provider_cache_hit_age_seconds_count", by="cache"),
            ),
        },
        "s",
        width=6,
    ),
)

SLICES = (
    Panel(
        "Origin bytes per consumer byte",
        "What origins sent for each byte that consumers got: 100 % without a slice cache, less where it saves traffic.",
        {
            "ratio": ratio(
                f"({rate('provider_sent_bytes_total')} - {rate('provider_slice_read_bytes_total')} "
                f"+ {rate('provider_slice_origin_bytes_total')})",
                rate("provider_sent_bytes_total"),
            ),
        },
        "percentunit",
        more={"min": 0},
    ),
    Panel(
        "Bytes of slices",
        "`hit`: read from slices that were there. `fill`: from slices under way. `origin`: fetched into slices.",
        {
            "{{result}}": rate("provider_slice_read_bytes_total", by="result"),
            "origin": rate("provider_slice_origin_bytes_total"),
        },
        "Bps",
    ),
    Panel(
        "Files opened",
        "`fresh`: the origin was not asked. `checked`: it told its version. `passed`: it sent the file.",
        {"{{result}}": rate("provider_slice_requests_total", by="result")},
        "ops",
        stacked=True,
    ),
    Panel(
        "Slice cache, size",
        "Bytes on disk, and the limit.",
        {
            "{{instance}}": total("provider_slice_bytes", by="instance", how="max"),
            "limit": total("provider_slice_max_bytes", how="max"),
        },
        "bytes",
        colours={"limit": "gray"},
        more={"min": 0},
    ),
    Panel(
        "Slices",
        "Slices on disk, and requests to origins that fill slices now.",
        {
            "slices": total("provider_slices"),
            "fills": total("provider_slice_fills"),
        },
        "short",
        more={"min": 0},
    ),
    Panel(
        "Evictions and faults",
        "`disk` faults pause the cache (`up` is 0 then); `damaged` slices are fetched again.",
        {
            "evictions": rate("provider_slice_evictions_total"),
            "{{kind}}": rate("provider_slice_errors_total", by="kind"),
            "up": total("provider_slice_cache_up", how="min"),
        },
        "short",
        more={"min": 0},
    ),
)

SECURITY = (
    Panel(
        "Nonces",
        "`refused` are replays or clients that count wrongly, `failed` means that the store did not work.",
        {"{{result}}": rate("provider_nonces_total", by="result")},
        "ops",
        stacked=True,
        colours={"accepted": GREEN, "refused": YELLOW, "failed": RED},
    ),
    Panel(
        "Nonce commit",
        "Time until a nonce was stored durably, or refused. Every signed request waits for it.",
        quantiles("provider_nonce_commit_seconds"),
        "s",
        steps={None: "transparent", 0.25: RED},
    ),
    Panel(
        "Signatures and tokens refused",
        "Per second. A steady rate from one code is a broken client; a burst is somebody who guesses.",
        {
            "{{code}}": rate(
                "provider_errors_total",
                UNTRUSTED,
                "code",
            )
        },
        "reqps",
    ),
    Panel(
        "Access refused",
        "Credentials, roles, policies, decrypters, and file URLs that lead into your network (`unsafe_address`).",
        {
            "{{code}}": rate(
                "provider_errors_total",
                NOT_ALLOWED,
                "code",
            )
        },
        "reqps",
    ),
    Panel(
        "Decryption by result",
        "`failed`: what publishers encrypted was not encrypted to this server's keys, or was meant for another asset.",
        {"{{kind}} {{result}}": rate("provider_decrypt_seconds_count", by="kind, result")},
        "ops",
    ),
    Panel(
        "Proofs of download",
        "Only with USE_HTTP_PROOF or USE_CHAIN_PROOF: per second by outcome, and how many wait.",
        {
            "{{outcome}}": rate("provider_proofs_total", by="outcome"),
            "waiting": total("provider_proofs_queued", how="max"),
        },
        "short",
    ),
    Panel(
        "Redis",
        "Only with REDIS_CONNECTION: 95 % of the questions of each kind are answered within this time.",
        {"{{operation}}": quantile(0.95, "provider_redis_seconds", 'result="ok"', "operation")},
        "s",
        width=12,
        steps={None: "transparent", 0.25: RED},
    ),
    Panel(
        "Redis failures",
        "Questions per second that failed, by what they were for; and instances with a worker that has given it up.",
        {
            "{{operation}}": rate("provider_redis_seconds_count", 'result="failed"', "operation"),
            "instances without": f"count(provider_redis_up{at()} == 0) or 0 * count(provider_redis_up{at()})",
        },
        "short",
        width=12,
        colours={"instances without": RED},
    ),
)

RESOURCES = (
    Panel(
        "Processor",
        "Cores in use, all workers of an instance together; dashed: as many as there are workers. The process that "
        "writes nonces for several workers is not among them.",
        {
            "{{instance}}": rate("process_cpu_seconds_total", by="instance"),
            "{{instance}}: nonce writer": WRITER_CORES,
            "workers": total("provider_workers", by="instance"),
        },
        "short",
        colours={"workers": "gray"},
    ),
    Panel(
        "Memory",
        "Resident, all workers of an instance together; pages that they share count for each.",
        {
            "{{instance}}": total("process_resident_memory_bytes", by="instance"),
            "{{instance}}: nonce writer": total("provider_nonce_writer_resident_bytes", by="instance"),
        },
        "bytes",
    ),
    Panel(
        "Event loop lag",
        "How late timers were. From 100 ms on consumers notice.",
        quantiles("provider_event_loop_lag_seconds"),
        "s",
        steps={None: "transparent", 0.25: RED},
    ),
    Panel(
        "File descriptors",
        "Share in use in the worker with most. A stream needs two.",
        {"{{instance}}": f"process_open_fds{at()} / process_max_fds{at()}"},
        "percentunit",
        steps={None: "transparent", 0.8: RED},
        more={"min": 0},
    ),
    Panel(
        "Disk",
        "Free share of the disk behind STORAGE_PATH. The alert is at 5 %.",
        {"{{instance}}": f"provider_storage_free_bytes{at()} / provider_storage_size_bytes{at()}"},
        "percentunit",
        steps={None: RED, 0.05: "transparent"},
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Workers and versions",
        "When the oldest worker started, by instance and version.",
        {"{{instance}} {{version}} (Python {{python}}, uvloop {{uvloop}})": UPTIME},
        "dtdurations",
        kind="bargauge",
        steps={None: YELLOW, 600: GREEN},
    ),
    Panel(
        "Workers restarted",
        "In the range of one point, with several workers. `died`: ended unexpectedly, which cut its streams; "
        "`reload`: was asked to finish, and cut nothing.",
        {"{{instance}} {{reason}}": RESTARTED},
        "short",
        width=12,
        more={"min": 0},
    ),
    Panel(
        "Certificate valid for",
        "The certificate that consumers see, if the server itself serves TLS. Alerts are at 7 days and at 1 day.",
        {"{{instance}}": f"provider_tls_certificate_expiry_timestamp_seconds{at()} - time()"},
        "dtdurations",
        width=12,
        kind="bargauge",
        steps={None: RED, 86_400: YELLOW, 604_800: GREEN},
    ),
)

DATASETS = (
    Panel(
        "Refusals and failures by fault",
        "`consumer`: no right, a wrong request, or left early. `origin`: the file's host, or what was published. "
        "`ours`: this server, its nodes and services.",
        {"{{fault}}": rate("provider_errors_total", by="fault")},
        "reqps",
        stacked=True,
        colours={"consumer": YELLOW, "origin": BLUE, "ours": RED},
    ),
    Panel(
        "Books",
        "Uses of datasets recorded per second, those lost because the file could not be written, and the number of "
        "instances that cannot write now. `asked`: requests of the servers themselves to origins of sold files "
        "(`PROVIDER_PROBE_SECONDS`).",
        {
            "{{result}}": rate("provider_books_records_total", by="result"),
            "asked: {{result}}": rate("provider_probes_total", by="result"),
            "failing": f"count(provider_books_up{at()} == 0) or vector(0)",
        },
        "short",
        colours={"written": GREEN, "lost": RED, "failing": RED},
    ),
    Panel(
        "Refused by quotas",
        "Downloads refused per second, by the quota that was used up and its unit.",
        {"{{quota}} {{unit}}": rate("provider_quota_refusals_total", by="quota, unit")},
        "reqps",
        stacked=True,
    ),
    Panel(
        "Files whose origin fails",
        "Failures in a row of files that were bought, the longest rows. The alert is at three. `others`: the number of "
        "further files.",
        {"{{did}} file {{file}}": f"topk(20, max by (did, file) (provider_asset_failing{at()}))"},
        "short",
        width=12,
        kind="bargauge",
        steps={None: YELLOW, 3: RED},
    ),
    Panel(
        "Downloads that fail",
        "Share by whose fault it was. `origin`: the alert is at 10 %.",
        {fault: failing_downloads(fault) for fault in ("origin", "ours")},
        "percentunit",
        width=12,
        steps={None: "transparent", 0.1: RED},
        colours={"origin": BLUE, "ours": RED},
    ),
)

ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("At a glance", OVERVIEW),
    ("Traffic", TRAFFIC),
    ("Datasets", DATASETS),
    ("Latency", LATENCY),
    ("Streaming", STREAMING),
    ("Links", LINKS),
    ("Chains", CHAINS),
    ("Caches", CACHES),
    ("Slice cache", SLICES),
    ("Security", SECURITY),
    ("Resources", RESOURCES),
)
