"""Makes one picture of the server for the dashboard from a window of moments. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from provider.admin.dashboard.sample import (
    RECENT_SECONDS,
    Moment,
    Window,
    by,
    quantile,
    ratio,
    total,
)
from provider.books.health import FileHealth, merged
from provider.errors.fault import fault_of, remedy_of
from provider.observability.last_errors import latest
from provider.observability.metrics.backends import Caches, Index, Proofs
from provider.observability.metrics.processes import Processes
from provider.observability.metrics.traffic import Files, Requests, Slices, Streams

MAX_SHOWN_STREAMS = 50
MAX_SHOWN_FILES = 50
UNSHOWN_ENDPOINTS = frozenset(("docs", "docs_asset", "docs_redirect", "spec"))
"""Pages about this server. Requests for them say nothing about consumers."""


def point(window: Window, now_seconds: float) -> dict[str, float | None]:
    """Return the values of this moment for the charts: times in seconds, rates per second, None if unknown."""
    known = len(window.moments) > 1
    statuses = window.rates(Requests.answered.name, "status")
    faults = window.rates(Requests.errors.name, "fault")
    first_byte_p50, first_byte_p99 = window.quantiles(Streams.first_byte_seconds.name)
    decrypt_p50, decrypt_p99 = window.quantiles(Files.decrypt_seconds.name, RECENT_SECONDS)
    own = _process_figures(window)
    return {
        "t": round(now_seconds, 1),
        "throughput": own["throughput"] if known else None,
        "streams": own["streams"],
        "requests": sum(statuses.values()) if known else None,
        "consumer_faults": faults.get("consumer", 0.0) if known else None,
        "origin_faults": faults.get("origin", 0.0) if known else None,
        "our_faults": faults.get("ours", 0.0) if known else None,
        "first_byte_p50": first_byte_p50,
        "first_byte_p99": first_byte_p99,
        "decrypt_p50": decrypt_p50,
        "decrypt_p99": decrypt_p99,
        "hit_ratio": _hit_ratio(window),
        "loop_lag_p99": window.quantiles(Processes.loop_lag.name)[1],
        "cpu": own["cpu"] if known else None,
        "rss_bytes": own["rss_bytes"],
    }


def _process_figures(window: Window) -> Mapping[str, float]:
    """Figures of all workers: from metrics if they are on, otherwise from what workers publish."""
    latest = window.moments[-1]
    if Processes.resident_memory.name in latest.reading:
        return {
            "throughput": window.rate(Streams.sent_bytes.name),
            "streams": total(latest.reading, Streams.in_progress.name),
            "cpu": window.rate(Processes.cpu_seconds.name),
            "rss_bytes": total(latest.reading, Processes.resident_memory.name),
        }
    return {
        "throughput": sum(window.worker_rates("sent_bytes").values()),
        "streams": sum(worker["stream_count"] for worker in latest.workers),
        "cpu": sum(window.worker_rates("cpu_seconds").values()),
        "rss_bytes": sum(worker["rss_bytes"] for worker in latest.workers),
    }


def picture(
    window: Window, endpoints: Sequence[Mapping[str, Any]], checks: Mapping[str, str], now_seconds: float
) -> dict[str, Any]:
    """Return the rows of the tables. `endpoints`: of the chains; `checks`: of readiness, `ok` or what is wrong."""
    return {
        "checks": [{"check": name, "answer": answer} for name, answer in checks.items()],
        "errors": _last_errors(window, now_seconds),
        "datasets": _datasets(window, now_seconds),
        "streams": _streams(window),
        "rpc": _endpoints(window, endpoints),
        "codes": _codes(window),
        "caches": _caches(window),
        "requests": _requests(window),
        "workers": _workers(window),
        "totals": _totals(window),
    }


def _endpoints(window: Window, endpoints: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each with what the metadata index has left to read of its chain."""
    reading = window.moments[-1].reading
    behind, left = (by(reading, gauge.name, "chain") for gauge in (Index.blocks_behind, Index.left_seconds))
    return [
        {**row, "index_behind": behind.get(str(row["chain"])), "index_left": left.get(str(row["chain"]))}
        for row in endpoints
    ]


def _hit_ratio(window: Window) -> float | None:
    results = window.growth(Caches.requests.name, "result", RECENT_SECONDS)
    hits = results.get("hit", 0.0)
    return ratio(hits, hits + results.get("miss", 0.0))


def _streams(window: Window) -> list[dict[str, Any]]:
    rates = window.stream_rates()
    listed = [
        {**stream, "pid": worker["pid"], **_way(stream, rates[worker["pid"], stream["number"]])}
        for worker in window.moments[-1].workers
        for stream in worker["streams"]
    ]
    listed.sort(key=lambda stream: (stream["age_seconds"], stream["number"]), reverse=True)
    return listed[:MAX_SHOWN_STREAMS]


def _way(stream: Mapping[str, Any], rate: float) -> dict[str, float | None]:
    """How far a stream has come, and how long the rest takes at its present rate."""
    length, sent = stream["length_bytes"], stream["sent_bytes"]
    return {
        "rate": rate,
        "share": ratio(sent, length) if length else None,
        "left_seconds": (length - sent) / rate if length is not None and rate > 0 else None,
    }


def _datasets(window: Window, now_seconds: float) -> list[dict[str, Any]]:
    known = merged([worker["files"] for worker in window.moments[-1].workers], now_seconds, MAX_SHOWN_FILES)
    return [
        {
            **_known_of(file),
            "is_failing": file.is_failing(now_seconds),
            "failed_seconds_ago": now_seconds - file.last_failure_at if file.last_failure_at else None,
            "remedy": remedy_of(file.code),
        }
        for file in known
    ]


def _last_errors(window: Window, now_seconds: float) -> list[dict[str, Any]]:
    errors = latest(error for worker in window.moments[-1].workers for error in worker["errors"])
    return [{**error, "seconds_ago": now_seconds - error["at"], "fault": fault_of(error["code"])} for error in errors]


def _known_of(file: FileHealth) -> dict[str, Any]:
    """The facts of a file, with the percentiles that a table can show."""
    return {
        **file.shown(),
        "first_bytes": [file.first_bytes.percentile(share) for share in (0.5, 0.95)],
        # The slow ones: 95 % are faster than the second.
        "rates": [file.rates.percentile(share) for share in (0.5, 0.05)],
    }


def _codes(window: Window) -> list[dict[str, Any]]:
    totals = by(window.moments[-1].reading, Requests.errors.name, "code")
    recent = window.growth(Requests.errors.name, "code", RECENT_SECONDS)
    rows = [
        {
            "code": code,
            "fault": fault_of(code),
            "remedy": remedy_of(code),
            "total": total,
            "recent": recent.get(code, 0.0),
        }
        for code, total in totals.items()
        if total
    ]
    return sorted(rows, key=lambda row: (-row["recent"], -row["total"], row["code"]))


def _caches(window: Window) -> list[dict[str, Any]]:
    reading = window.moments[-1].reading
    hits = by(reading, Caches.requests.name, "cache", result="hit")
    misses = by(reading, Caches.requests.name, "cache", result="miss")
    entries = by(reading, Caches.entries.name, "cache")
    return [
        {
            "cache": cache,
            "hits": hits.get(cache, 0.0),
            "misses": misses.get(cache, 0.0),
            "ratio": ratio(hits.get(cache, 0.0), hits.get(cache, 0.0) + misses.get(cache, 0.0)),
            "entries": entries.get(cache),
        }
        for cache in sorted(entries.keys() | hits.keys())
        if hits.get(cache) or misses.get(cache) or entries.get(cache)
    ]


def _requests(window: Window) -> list[dict[str, Any]]:
    totals = by(window.moments[-1].reading, Requests.answered.name, "endpoint")
    rates = window.rates(Requests.answered.name, "endpoint")
    rows = []
    for endpoint, count in sorted(totals.items(), key=lambda entry: -entry[1]):
        if endpoint in UNSHOWN_ENDPOINTS:
            continue
        median, late = window.quantiles(Requests.seconds.name, endpoint=endpoint)
        rows.append(
            {"endpoint": endpoint, "total": count, "rate": rates.get(endpoint, 0.0), "p50": median, "p99": late}
        )
    return rows


def _workers(window: Window) -> list[dict[str, Any]]:
    cpu, sent = window.worker_rates("cpu_seconds"), window.worker_rates("sent_bytes")
    return [
        {
            "pid": worker["pid"],
            "cpu": cpu.get(worker["pid"]),
            "rss_bytes": worker["rss_bytes"],
            "streams": worker["stream_count"],
            "throughput": sent.get(worker["pid"]),
        }
        for worker in sorted(window.moments[-1].workers, key=lambda worker: int(worker["pid"]))
    ]


def _totals(window: Window) -> dict[str, float | None]:
    latest = window.moments[-1]
    faults = by(latest.reading, Requests.errors.name, "fault")
    return {
        "sent_bytes": sum(worker["sent_bytes"] for worker in latest.workers),
        "origin_ratio": _origin_ratio(latest),
        "requests": sum(by(latest.reading, Requests.answered.name, "status").values()),
        "consumer_faults": faults.get("consumer", 0.0),
        "origin_faults": faults.get("origin", 0.0),
        "our_faults": faults.get("ours", 0.0),
        "decrypt_p99": quantile(0.99, by(latest.reading, f"{Files.decrypt_seconds.name}_bucket", "le")),
        "proofs_queued": total(latest.reading, Proofs.queued.name),
    }


def _origin_ratio(moment: Moment) -> float | None:
    """Bytes that origins sent for each byte that consumers got, since the start. None without a slice cache."""
    reading = moment.reading
    if not total(reading, Slices.max_bytes.name):
        return None
    sent = sum(worker["sent_bytes"] for worker in moment.workers)
    passed = max(0.0, sent - total(reading, Slices.read_bytes.name))
    return ratio(passed + total(reading, Slices.origin_bytes.name), sent)
