"""The common part of scripts that only move files: stage, purchases, rounds, result."""

from collections.abc import Mapping, Sequence

from benchmarks import cases as shapes
from benchmarks import machine
from benchmarks import stage as stages
from benchmarks.options import Options
from benchmarks.result import Case, Result, summarise
from benchmarks.stage import Needs

WARM_BYTES = 1024  # the first of the files; caches and pools are warmed with it
CPU_NOTE = "CPU: all processes of the variant, kernel included; medians of the rounds."
RATIO_NOTE = "× a rival: the first figure next to that of the rival, the cheaper one where it has two tunings."


def large_cases(total_bytes: int) -> list[Case]:
    """The second file over 1, 8 and 64 connections."""
    return [shapes.large(connections, total_bytes // connections, file_index=1) for connections in (1, 8, 64)]


def measured(
    script: str,
    question: str,
    notes: Sequence[str],
    options: Options,
    *,
    needs: Needs,
    cases: Sequence[Case],
    rivals: Mapping[str, frozenset[str]],
    answer: str | None = None,
) -> Result:
    """Start everything, measure, and end everything. Arguments as those of `Result` and `summarise`."""
    cases = shapes.wanted(cases, options)
    load_before = machine.load_average()
    with stages.opened(needs, options) as stage:
        variants = stage.variants(stage.buy(max(case.connections for case in cases)))
        samples = stage.bench(shapes.small(1)).interleave(cases, variants)
    facts = (*stage.facts, *circumstances(load_before, options))
    rows = summarise(cases, samples, rivals=rivals, answer=answer)
    explained = (CPU_NOTE, *((RATIO_NOTE,) if rivals else ()), *notes, *stage.notes)
    return Result(script, question, facts, explained, rows, samples)


def circumstances(load_before: str, options: Options) -> tuple[tuple[str, str], ...]:
    """Return conditions that may differ between two runs on the same machine."""
    return (
        ("load average", f"{load_before} before, {machine.load_average()} after"),
        ("rounds", str(options.rounds)),
    )
