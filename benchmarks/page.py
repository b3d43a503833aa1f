"""Writes the page of all results: machine, goals, sizing, and a table and a plot for each script."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import goals, plots, report, sizing
from benchmarks.result import Result

LEAD = """# Results

Written by `python -m benchmarks report` from `{folder}`; what the figures mean and how they are measured is told in
[README.md](README.md). Figures of one script come from one run, its variants taking turns; CPU is the figure to
trust. Another machine gives other figures: run it on yours."""
MACHINE = (
    "processor",
    "kernel",
    "python",
    "packages",
    "commit",
    "nginx",
    "haproxy",
    "varnish",
    "aiohttp",
    "requests",
    "cores",
)


def write(results: Sequence[Result], *, folder: Path, output: Path) -> None:
    """Write the page, and a PNG for each result into `folder`. Raises OSError."""
    ordered = sorted(results, key=lambda result: result.script)
    shown = os.path.relpath(folder, output.parent)
    for result in ordered:
        plots.draw(result, folder / f"{result.script}.png")
    output.write_text(text(ordered, folder=shown), encoding="utf-8")


def text(results: Sequence[Result], *, folder: str) -> str:
    """Return the page. `folder`: where the plots are, relative to the page."""
    common = _common_facts(results)
    parts = [LEAD.format(folder=folder), _machine(common), _goals(results), _sizing(results)]
    for result in results:
        own = [fact for fact in result.facts if fact not in common]
        facts = "; ".join(f"{name} {value}" for name, value in own)
        body = report.as_markdown(result, level=2, with_facts=False)
        parts.append(f"{body}\n![{result.script}]({folder}/{result.script}.png)\n\n{facts}.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _common_facts(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return facts of the machine that most results share. A result with other facts shows them in its own section."""
    common = []
    for name in MACHINE:
        values = Counter(value for result in results for key, value in result.facts if key == name)
        if values:
            common.append((name, values.most_common(1)[0][0]))
    return common


def _machine(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["## Machine", "", *report.table([["", ""], *([name, value] for name, value in facts)])])


def _goals(results: Sequence[Result]) -> str:
    lines = [["goal", "limit", "measured", "provider", "rival", ""]]
    for verdict in goals.verdicts(results):
        goal = verdict.goal
        what = f"{goal.script}: {goal.case}, {goal.figure}"
        limit = f"{'≥' if goal.is_floor else '≤'} {goal.limit:g}" + (f" × {goal.rival}" if goal.rival else "")
        values = (_shown(value) for value in (verdict.measured, verdict.ours, verdict.theirs))
        lines.append([what, limit, *values, verdict.text])
    return "\n".join(["## Goals", "", *report.table(lines)])


def _sizing(results: Sequence[Result]) -> str:
    lines = sizing.lines(results)
    if not lines:
        return ""
    table = report.table([["to carry", "needs", "because"], *lines])
    return "\n".join(["## Sizing a deployment", "", *table, "", sizing.CAVEAT])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
