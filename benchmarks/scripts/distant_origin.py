"""An origin 20, 100 and 200 ms away: one reader of a large file, and ranges, with and without read-ahead."""

from dataclasses import replace

from benchmarks import fresh, machine, nginx, peers, transfers
from benchmarks import stage as stages
from benchmarks.cases import KIB, MIB, large, size, small, wanted
from benchmarks.options import Options
from benchmarks.plans import Plan
from benchmarks.result import Case, Result, Row, Sample, summarise
from benchmarks.stage import OURS, Needs, Stage
from benchmarks.traffic import Traffic

QUESTION = "How fast does a file come from an origin that is 20, 100 and 200 ms away?"
ROUND_TRIPS_MS = (20, 100, 200)
READ_AHEAD, NOT_AHEAD = "provider, read-ahead", "provider, no read-ahead"
# Windows, slices and files are smaller than usual in proportion, because the line carries about 90 MB/s.
SEND_BYTES, SLICE_BYTES = 512 * KIB, 2 * MIB
_CACHE = {"PROVIDER_CACHE_FROM_REQUEST": "1", "PROVIDER_CACHE_SLICE_BYTES": str(SLICE_BYTES)}
SERVERS = {
    OURS: {},
    READ_AHEAD: {"PROVIDER_CACHE_DIR": "{disk}/ahead", **_CACHE},
    NOT_AHEAD: {"PROVIDER_CACHE_DIR": "{disk}/not-ahead", "PROVIDER_CACHE_READ_AHEAD": "1", **_CACHE},
}
PEERS = (peers.nginx_peer(nginx.UNBUFFERED),)
RIVALS = {"× nginx": peers.NGINX_TUNED, "× one stream": frozenset({OURS})}
RANGE_BYTES, RANGED_BYTES = 64 * KIB, 16 * MIB
READERS, LINE_STREAMS = 16, 16
NOTES = (
    "provider and nginx pass the file through, on one connection to the origin. The other two keep slices of it.",
    "A new file is one of {} that was never asked for. The ranges of 16 connections are asked for again and again.",
    "Each packet takes half of the round trip; slow start is the kernel's own.",
    f"The send buffers of the origin have {size(SEND_BYTES)} and slices {size(SLICE_BYTES)}.",
)


def run(options: Options) -> Result:
    """Start everything at each distance, measure, end everything."""
    load_before = machine.load_average()
    names = {case.name for case in wanted([case for ms in ROUND_TRIPS_MS for case in cases_at(ms, options)], options)}
    rows: list[Row] = []
    samples: list[Sample] = []
    notes: list[str] = []
    facts: tuple[tuple[str, str], ...] = ()
    for ms in ROUND_TRIPS_MS:
        cases = [case for case in cases_at(ms, options) if case.name in names]
        if not cases:
            continue
        files = [transfers.WARM_BYTES, *fresh.sizes(_whole(options), options.rounds)]
        files += fresh.sizes(RANGED_BYTES, options.rounds)
        servers = stages.wanted(SERVERS, options)
        needs = Needs(files, PEERS, servers, round_trip_ms=ms, origin_send_bytes=SEND_BYTES)
        with stages.opened(needs, options) as stage:
            rate = _line_rate(stage, options)
            found = _sampled(stage, cases, options)
        for case in cases:
            answer = "MB/s" if case.per == "GB" else "p50 ms"
            rows += summarise([case], found, rivals=RIVALS, answer=answer)
        samples += found
        facts = facts or tuple(fact for fact in stage.facts if fact[0] != "origin")
        notes.append(f"{ms} ms: {stage.origin.label}. {LINE_STREAMS} streams from there at once: {rate:.0f} MB/s.")
    facts = (*facts, *transfers.circumstances(load_before, options))
    told = (*(note.format(size(_whole(options))) for note in NOTES), *notes, *stage.notes)
    return Result("distant_origin", QUESTION, facts, told, tuple(rows), tuple(samples))


def _whole(options: Options) -> int:
    """In a quick run just as much as is read ahead."""
    return options.large_bytes // (16 if options.is_quick else 8)


def cases_at(ms: int, options: Options) -> list[Case]:
    """Return the cases: new files, a part of new files, and parts that all connections ask for again and again."""
    whole = large(1, _whole(options), file_index=1)
    part = small(1, size_bytes=RANGE_BYTES, file_index=1 + options.rounds)
    again = small(READERS, size_bytes=RANGE_BYTES, file_index=part.file_index)
    return [
        replace(whole, name=f"{ms} ms, a new file"),
        replace(part, name=f"{ms} ms, 64 KiB of a new file", requests=1),
        replace(again, name=f"{ms} ms, {again.name}"),
    ]


def _sampled(stage: Stage, cases: list[Case], options: Options) -> list[Sample]:
    variants = stage.variants(stage.buy(READERS))
    bench = stage.bench(small(1))
    found: list[Sample] = []
    for case in cases:
        if case.requests == 1:
            found += fresh.sampled(bench, case, variants, options.rounds, whole=case.per == "GB")
        else:
            found += bench.interleave([case], variants)
    return found


def _line_rate(stage: Stage, options: Options) -> float:
    """MB/s of many streams from the origin itself, so that the line is not taken for the limit of a server."""
    host, _, port = stage.origin.address.rpartition(":")
    traffic = Traffic(int(port), stage.files, lambda _, file_index: stage.files[file_index].path)
    plans = traffic.plans(large(LINE_STREAMS, _whole(options) // 4, file_index=1), 1, 0)
    result = stage.load.run(Plan(int(port), plans, host=host))
    return result.body_bytes / 1e6 / result.seconds
