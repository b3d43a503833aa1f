"""Consumers that read nothing after the head: what each of them costs, next to nginx and haproxy."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import haproxy, machine, peers, processes, stalling, transfers
from benchmarks import stage as stages
from benchmarks.cases import MIB, large, small
from benchmarks.measure import Variant, progress
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
NOTES = (
    "RSS: resident memory of all processes of the variant, more than before the consumers came, shared out among them.",
    "Growth: from the first look, some seconds after the last consumer came, to the last one.",
    "Kernel memory, socket buffers and pipes, is not in it. All variants are held at the same time.",
)


@dataclass(frozen=True, slots=True)
class Look:
    """What one variant had at one time; `seconds` since all consumers were there."""

    variant: str
    seconds: float
    rss_bytes: int
    cpu_seconds: float


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    load_before = machine.load_average()
    needs = Needs([transfers.WARM_BYTES, FILE_BYTES], PEERS, {OURS: SETTINGS})
    with stages.opened(needs, options) as stage:
        variants = stage.variants(stage.buy(16))
        bench = stage.bench(small(1))
        for variant in variants:
            bench.warm(small(16), variant)
        before = {variant.name: processes.rss_bytes(processes.tree(variant.pid)) for variant in variants}
        looks = _held(variants, options)
        after = {variant.name: processes.rss_bytes(processes.tree(variant.pid)) for variant in variants}
    case = f"{options.consumers} consumers held for {options.hold_seconds:g} s"
    rows = [_row(case, variant.name, looks, before[variant.name], after[variant.name], options) for variant in variants]
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rivals = {"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY}
    return Result(
        "slow_consumers", QUESTION, facts, (*NOTES, *stage.notes), tuple(compared(rows, rivals)), tuple(looks)
    )


def _held(variants: Sequence[Variant], options: Options) -> list[Look]:
    """Let consumers come to all variants, look at them for the time, let them go. Raises LoadFailed."""
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
        for group in groups:
            group.check()
    time.sleep(SETTLE_SECONDS)
    return looks


def _row(case: str, name: str, looks: Sequence[Look], before: int, after: int, options: Options) -> Row:
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
        ),
    )
