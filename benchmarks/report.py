"""Writes a result as text for the terminal, as Markdown and as JSON, and reads the JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.result import Figure, Result, Row


class NotAResult(Exception):
    """The file is not the result of a run of this version."""


def as_text(result: Result) -> str:
    """Format for the terminal."""
    width = max(len(name) for name, _ in result.facts)
    lines = ["", result.question, "", *(f"{name:<{width}}  {value}" for name, value in result.facts)]
    for case, rows in by_case(result.rows):
        lines += ["", case, *_aligned(cells(rows))]
    return "\n".join([*lines, "", *result.notes])


def as_markdown(result: Result, *, level: int = 1, with_facts: bool = True) -> str:
    """Format the same as Markdown, with its headline at this level."""
    lines = [f"{'#' * level} {result.script}", "", result.question]
    if with_facts:
        lines += ["", *table([["", ""], *([name, value] for name, value in result.facts)])]
    for case, rows in by_case(result.rows):
        lines += ["", f"{'#' * (level + 1)} {case}", "", *table(cells(rows), numbers=True)]
    return "\n".join([*lines, "", *(f"- {note}" for note in result.notes)]) + "\n"


def write(result: Result, folder: Path) -> Path:
    """Write `<script>.json` into the folder. Returns its path."""
    path = folder / f"{result.script}.json"
    path.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Result:
    """Read the result that `write` wrote. Raises NotAResult, OSError."""
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(
            Row(row["case"], row["variant"], tuple(Figure(**each) for each in row["figures"])) for row in value["rows"]
        )
        facts = tuple((str(name), str(text)) for name, text in value["facts"])
        samples = tuple(value["samples"])
        return Result(value["script"], value["question"], facts, tuple(value["notes"]), rows, samples)
    except (ValueError, KeyError, TypeError) as exc:
        raise NotAResult(f"{path} is not the result of a run") from exc


def by_case(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the rows grouped by case, in their order."""
    cases = list(dict.fromkeys(row.case for row in rows))
    return [(case, [row for row in rows if row.case == case]) for case in cases]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Return header and rows. The spread follows the first figure. A missing figure is empty."""
    titles = list(dict.fromkeys(figure.title for row in rows for figure in row.figures))
    lines = [["variant", titles[0], "min-max", *titles[1:]]]
    for row in rows:
        first = row.figure(titles[0])
        spread = "" if first is None else f"{number(first.low, first.digits)}-{number(first.high, first.digits)}"
        lines.append([row.variant, _cell(first), spread, *(_cell(row.figure(title)) for title in titles[1:])])
    return lines


def number(value: float, digits: int) -> str:
    """Format a figure with its digits."""
    return f"{value:.{digits}f}"


def table(lines: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Return the lines of a Markdown table, whose first row is its header.

    Numbers are right-aligned, except in the first column.
    """
    header, *body = lines
    rule = ["---", *["---:" if numbers else "---"] * (len(header) - 1)]
    return [_piped(header), _piped(rule), *map(_piped, body)]


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else number(figure.median, figure.digits)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    ]


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
