"""Makes one picture of the server for the dashboard from a window of moments. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from provider.admin.dashboard.sample import (
    RECENT_SECONDS,
    Moment,
    Reading,
    Window,
    by,
    quantile,
    ratio,
)
from provider.books.health import merged
from provider.errors.fault import fault_of, remedy_of
from provider.observability.metrics.groups import Caches, Files, Index, Proofs, Requests, Slices, Streams
from provider.observability.metrics.processes import Processes

MAX_SHOWN_STREAMS = 50
MAX_SHOWN_FILES = 50


def point(window: Window, now_seconds: float) -> dict[str, float | None]:
    """Return the values of this moment for the charts: times in seconds, rates per second, None if unknown."""
    known = len(window.moments) > 1
    statuses = window.rates(Requests.answered.name, "status")
    faults = window.rates(Requests.errors.name, "fault")
    first_byte_p50, first_byte_p99 = window.quantiles(Streams.first_byte_seconds.name)
    decrypt_p50, decrypt_p99 = window.quantiles(Files.decrypt_seconds.name, RECENT_SECONDS)
    workers = window.moments[-1].workers
    return {
        "t": round(now_seconds, 1),
        "throughput": sum(window.worker_rates("sent_bytes").values()) if known else None,
        "streams": sum(worker["stream_count"] for worker in workers),
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
        "cpu": sum(window.worker_rates("cpu_seconds").values()) if known else None,
        "rss_bytes": sum(worker["rss_bytes"] for worker in workers),
    }


def picture(window: Window, endpoints: Sequence[Mapping[str, Any]], now_seconds: float) -> dict[str, Any]:
    """Return the rows of the tables. `endpoints`: those of the chains."""
    return {
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
        {**stream, "pid": worker["pid"], "rate": rates[worker["pid"], stream["number"]]}
        for worker in window.moments[-1].workers
        for stream in worker["streams"]
    ]
    listed.sort(key=lambda stream: (stream["age_seconds"], stream["number"]), reverse=True)
    return listed[:MAX_SHOWN_STREAMS]


def _datasets(window: Window, now_seconds: float) -> list[dict[str, Any]]:
    known = merged([worker["files"] for worker in window.moments[-1].workers], now_seconds, MAX_SHOWN_FILES)
    return [
        {
            **asdict(file),
            "is_failing": file.is_failing(now_seconds),
            "failed_seconds_ago": now_seconds - file.last_failure_at if file.last_failure_at else None,
            "remedy": remedy_of(file.code),
        }
        for file in known
    ]


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
    for endpoint, total in sorted(totals.items(), key=lambda entry: -entry[1]):
        median, late = window.quantiles(Requests.seconds.name, endpoint=endpoint)
        rows.append(
            {"endpoint": endpoint, "total": total, "rate": rates.get(endpoint, 0.0), "p50": median, "p99": late}
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
        "proofs_queued": _sum(latest.reading, Proofs.queued.name),
    }


def _origin_ratio(moment: Moment) -> float | None:
    """Bytes that origins sent for each byte that consumers got, since the start. None without a slice cache."""
    reading = moment.reading
    if not _sum(reading, Slices.max_bytes.name):
        return None
    sent = sum(worker["sent_bytes"] for worker in moment.workers)
    passed = max(0.0, sent - _sum(reading, Slices.read_bytes.name))
    return ratio(passed + _sum(reading, Slices.origin_bytes.name), sent)


def _sum(reading: Reading, name: str) -> float:
    return sum(value for _, value in reading.get(name, ()))
