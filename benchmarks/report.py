"""A result as text for the terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.result import Result, Row

COST_TITLES = {"request": "CPU µs/request", "GB": "CPU s/GB"}


def as_text(result: Result) -> str:
    """For the terminal."""
    width = max(len(name) for name, _ in result.facts)
    lines = ["", result.question, "", *(f"{name:<{width}}  {value}" for name, value in result.facts)]
    for case, rows in _by_case(result.rows):
        lines += ["", case, *_aligned(_cells(rows))]
    return "\n".join([*lines, "", *result.notes])


def as_markdown(result: Result) -> str:
    """The same as Markdown."""
    lines = [f"# {result.script}", "", result.question, ""]
    lines += ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in result.facts)]
    for case, rows in _by_case(result.rows):
        header, *body = _cells(rows)
        lines += ["", f"## {case}", "", _piped(header), _piped(["---"] + ["---:"] * (len(header) - 1))]
        lines += [_piped(cells) for cells in body]
    return "\n".join([*lines, "", *(f"- {note}" for note in result.notes)]) + "\n"


def write(result: Result, json_path: Path) -> str:
    """Write JSON there and Markdown next to it; their names."""
    json_path.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    markdown_path = json_path.with_suffix(".md")
    markdown_path.write_text(as_markdown(result), encoding="utf-8")
    return f"{json_path}, {markdown_path}"


def _by_case(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    cases = list(dict.fromkeys(row.case for row in rows))
    return [(case, [row for row in rows if row.case == case]) for case in cases]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    per = rows[0].per
    digits = 0 if per == "request" else 3
    table = [
        [
            "variant",
            COST_TITLES[per],
            "min-max",
            "× nginx",
            "requests/s" if per == "request" else "MB/s",
            "p50 ms",
            "p99 ms",
            "peak RSS MB",
            "upstream/request",
            "RPC",
        ]
    ]
    for row in rows:
        rate = row.requests_per_second if per == "request" else row.megabytes_per_second
        table.append(
            [
                row.variant,
                f"{row.cost:.{digits}f}",
                f"{row.cost_min:.{digits}f}-{row.cost_max:.{digits}f}",
                "" if row.ratio is None else f"{row.ratio:.2f}",
                f"{rate:.0f}",
                f"{row.p50_seconds * 1000:.2f}",
                f"{row.p99_seconds * 1000:.2f}",
                f"{row.peak_rss_bytes / 1e6:.0f}",
                "" if row.upstream_per_request is None else f"{row.upstream_per_request:.3f}",
                "" if row.rpc_round_trips is None else str(row.rpc_round_trips),
            ]
        )
    return table


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
