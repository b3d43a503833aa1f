"""Thousands of streams to slow consumers: what small requests wait beside them, what they cost and leave behind.

A bare Tornado handler waits beside them too. It shares our server's core, so that its wait is what this machine adds.
"""

import time
from dataclasses import dataclass, replace

from benchmarks import dripping, peers, processes
from benchmarks import stage as stages
from benchmarks.cases import MIB, large, small
from benchmarks.daemon import PartFailed
from benchmarks.measure import Bench, Variant, progress
from benchmarks.options import Options
from benchmarks.result import Row, figure
from benchmarks.scripts.slow_consumers import fitting
from benchmarks.stage import OURS, Needs
from benchmarks.transfers import WARM_BYTES
from provider.testing.readings import scrape

STREAMS, QUICK_STREAMS = 7_500, 400
FILE_BYTES = 64 * MIB
# As both ends lie on this host. What the kernel keeps for all sockets together is bounded (tcp_mem).
ORIGIN_SEND_BYTES = 16 << 10
SMALL_CONNECTIONS = 4
SETTLE_SECONDS = 5.0
# After this long without streams a worker has given its memory back.
LEFT_SECONDS = 15.0
END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Held:
    """While the streams were there. Latencies in seconds; `cpu_share`: of one core, without small requests."""

    p99_seconds: tuple[float, ...]
    hello_p99_seconds: tuple[float, ...]
    cpu_share: float
    cpu_seconds_per_gb: float
    rss_bytes: int


def rows(options: Options) -> list[Row]:
    """Hold slow consumers and ask for small files beside them."""
    wanted = QUICK_STREAMS if options.is_quick else STREAMS
    options, _ = fitting(replace(options, consumers=wanted))
    settings = {"PROVIDER_IDLE_TIMEOUT_SECONDS": "3600", "PROVIDER_MAX_STREAMS_PER_CONSUMER": "0"}
    with stages.opened(
        Needs(
            [WARM_BYTES, FILE_BYTES],
            (peers.hello_peer(),),
            servers={OURS: settings},
            origin_send_bytes=ORIGIN_SEND_BYTES,
        ),
        replace(options, variants=()),
    ) as stage:
        variant, hello = stage.variants(stage.buy(16))
        bench = stage.bench(small(1))
        bench.warm(small(16), variant)
        pids = processes.tree(variant.pid)
        alone = _small_p99(bench, variant, options)
        idle_bytes = processes.rss_bytes(pids)
        with dripping.Drips(variant.port) as drips:
            processes.pin([drips.pid], stage.others)
            held = _hold(drips, bench, variant, hello, options)
        _await_end(stage)
        time.sleep(LEFT_SECONDS)
        left_bytes = processes.rss_bytes(pids)
    return [
        Row(
            f"{options.consumers:,} streams of 4 to 20 KB/s",
            "provider",
            (
                *figure("1 KiB p99 ms beside", [value * 1e3 for value in held.p99_seconds], 1),
                *figure("alone", [value * 1e3 for value in alone], 1),
                *figure("Tornado hello beside", [value * 1e3 for value in held.hello_p99_seconds], 1),
                *figure("CPU s/GB", [held.cpu_seconds_per_gb], 1),
                *figure("CPU ms/s", [held.cpu_share * 1e3]),
                *figure("MB idle", [idle_bytes / 1e6]),
                *figure("MB held", [held.rss_bytes / 1e6]),
                *figure("MB after they left", [left_bytes / 1e6]),
            ),
        )
    ]


def _await_end(stage: stages.Stage) -> None:
    """Wait until no stream is left: on a busy machine thousands take a while to end."""
    server = stage.servers[OURS]
    deadline = time.monotonic() + END_SECONDS
    while scrape(server.admin_url).total("provider_streams_in_progress"):
        if time.monotonic() > deadline:
            raise PartFailed(f"streams are left after {END_SECONDS:g} s")
        time.sleep(0.5)


def _hold(drips: dripping.Drips, bench: Bench, variant: Variant, hello: Variant, options: Options) -> _Held:
    case = large(1, FILE_BYTES, file_index=1)
    progress(f"{options.consumers} slow consumers come")
    drips.come([variant.plans(case, 1, 0)[0].requests[0] for _ in range(options.consumers)])
    pids = processes.tree(variant.pid)
    time.sleep(SETTLE_SECONDS)
    cpu_before, bytes_before, began = processes.cpu_seconds(pids), drips.read_bytes(), time.monotonic()
    time.sleep(SETTLE_SECONDS)
    cpu_seconds, read_bytes = processes.cpu_seconds(pids) - cpu_before, drips.read_bytes() - bytes_before
    seconds = time.monotonic() - began
    p99_seconds, hello_p99_seconds = _small_p99(bench, variant, options), _small_p99(bench, hello, options)
    drips.read_bytes()
    return _Held(
        p99_seconds,
        hello_p99_seconds,
        cpu_seconds / seconds,
        cpu_seconds / max(1e-9, read_bytes / 1e9),
        processes.rss_bytes(pids),
    )


def _small_p99(bench: Bench, variant: Variant, options: Options) -> tuple[float, ...]:
    case = small(SMALL_CONNECTIONS)
    requests = bench.prove(case, variant)
    return tuple(bench.sample(case, variant, number, requests).p99_seconds for number in range(options.rounds))
