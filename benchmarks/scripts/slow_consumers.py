"""Consumers that read nothing after the head: the cost of each one, next to nginx and haproxy."""

import resource
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks import haproxy, machine, peers, processes, stalling, transfers
from benchmarks import stage as stages
from benchmarks.cases import MIB, large, small
from benchmarks.measure import Bench, Variant, progress
from benchmarks.options import Options
from benchmarks.result import Result, Row, compared, figure
from benchmarks.stage import OURS, Needs

QUESTION = "How much memory does a consumer hold that stops reading, and does it stay at that?"
FILE_BYTES = 64 * MIB
# The server cuts streams without progress; here it must not, as that would be measured instead.
SETTINGS = {"PROVIDER_IDLE_TIMEOUT_SECONDS": "3600"}
PEERS = (*peers.nginx_tuned(), peers.haproxy_peer(haproxy.SPLICING))
SETTLE_SECONDS = 2.0
LOOKS = 20
KB_EACH, GROWTH = "KB RSS each", "KB growth each"
SMALL_CONNECTIONS = 4
# Two for each stream, and what a server has besides.
SPARE_DESCRIPTORS = 600
NOTES = (
    "RSS: resident memory of all processes of the variant, more than before the consumers came, shared out among them.",
    "Growth: from the first look, some seconds after the last consumer came, to the last one.",
    "Small p99: of 1 KiB downloads over 4 connections, before the consumers came and while they were held.",
    "Kernel memory, socket buffers and pipes, is not in it. All variants are held at the same time.",
)


@dataclass(frozen=True, slots=True)
class Look:
    """The state of one variant at one time. `seconds`: since all consumers were connected."""

    variant: str
    seconds: float
    rss_bytes: int
    cpu_seconds: float


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    load_before = machine.load_average()
    options, too_few = fitting(options)
    needs = Needs([transfers.WARM_BYTES, FILE_BYTES], PEERS, {OURS: SETTINGS})
    with stages.opened(needs, options) as stage:
        variants = stage.variants(stage.buy(16))
        bench = stage.bench(small(1))
        for variant in variants:
            bench.warm(small(16), variant)
        alone = {variant.name: _small_p99(bench, variant, options) for variant in variants}
        before = {variant.name: processes.rss_bytes(processes.tree(variant.pid)) for variant in variants}
        looks, beside = _held(variants, bench, options)
        after = {variant.name: processes.rss_bytes(processes.tree(variant.pid)) for variant in variants}
    case = f"{options.consumers} consumers held for {options.hold_seconds:g} s"
    rows = [
        _row(case, name, looks, before[name], after[name], (alone[name], beside[name]), options)
        for name in (variant.name for variant in variants)
    ]
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rivals = {"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY}
    return Result(
        "slow_consumers", QUESTION, facts, (*NOTES, *too_few, *stage.notes), tuple(compared(rows, rivals)), tuple(looks)
    )


def fitting(options: Options) -> tuple[Options, tuple[str, ...]]:
    """As many consumers as this host's limit of open files allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (hard - SPARE_DESCRIPTORS) // 2
    if hard == resource.RLIM_INFINITY or options.consumers <= most:
        return options, ()
    said = f"{options.consumers} consumers were asked for; {hard} open files allow {most}, as a stream holds two."
    progress(said)
    return replace(options, consumers=most), (said,)


def _small_p99(bench: Bench, variant: Variant, options: Options) -> float:
    """Seconds."""
    case = small(SMALL_CONNECTIONS)
    return bench.sample(case, variant, 0, bench.prove(case, variant), seconds=options.seconds).p99_seconds


def _held(variants: Sequence[Variant], bench: Bench, options: Options) -> tuple[list[Look], dict[str, float]]:
    """Let consumers come to all variants, look at them for the time, let them go; with p99 of small ones (s).

    Raises LoadFailed.
    """
    looks: list[Look] = []
    case = large(1, FILE_BYTES, file_index=1)
    with ExitStack() as stack:
        groups = []
        for variant in variants:
            progress(f"{variant.name}: {options.consumers} consumers come and stop reading")
            group = stack.enter_context(stalling.Consumers(variant.name, variant.port))
            for _ in range(options.consumers):
                group.add(variant.plans(case, 1, 0)[0])
            groups.append(group)
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        for number in range(LOOKS + 1):
            time.sleep(max(0.0, began + options.hold_seconds * number / LOOKS - time.monotonic()))
            elapsed = time.monotonic() - began
            for variant in variants:
                pids = processes.tree(variant.pid)
                rss_bytes, cpu_seconds = processes.rss_bytes(pids), processes.cpu_seconds(pids)
                looks.append(Look(variant.name, elapsed, rss_bytes, cpu_seconds))
        beside = {variant.name: _small_p99(bench, variant, options) for variant in variants}
        for group in groups:
            group.check()
    time.sleep(SETTLE_SECONDS)
    return looks, beside


def _row(
    case: str,
    name: str,
    looks: Sequence[Look],
    before: int,
    after: int,
    small_p99: tuple[float, float],
    options: Options,
) -> Row:
    own = [look for look in looks if look.variant == name]
    first, last = own[0], own[-1]
    each = [(look.rss_bytes - before) / 1e3 / options.consumers for look in own]
    growth = (last.rss_bytes - first.rss_bytes) / 1e3 / options.consumers
    idle = (last.cpu_seconds - first.cpu_seconds) / max(1e-9, last.seconds - first.seconds) * 1000
    return Row(
        case,
        name,
        (
            *figure(KB_EACH, each, 1),
            *figure(GROWTH, [growth], 2),
            *figure("RSS MB before", [before / 1e6]),
            *figure("RSS MB held", [last.rss_bytes / 1e6]),
            *figure("RSS MB afterwards", [after / 1e6]),
            *figure("CPU ms/s while held", [idle], 1),
            *figure("small p99 ms alone", [small_p99[0] * 1e3], 1),
            *figure("small p99 ms beside", [small_p99[1] * 1e3], 1),
        ),
    )
