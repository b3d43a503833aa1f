"""Formats the findings as an aligned table of plain ASCII text (pure)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_HEADINGS = ("what", "state", "detail", "what to do")
_GAP = "  "
_MIN_TEXT_WIDTH = 16
_MAX_WHAT_WIDTH = 44


class State(StrEnum):
    """The state of a finding. `FAIL` makes the exit status 1; `warn` is worth a look."""

    OK = "ok"
    FAIL = "FAIL"
    WARN = "warn"


# SGR parameters of ECMA-48, section 8.3.117: green, red, yellow.
_COLOURS = {State.OK: "32", State.FAIL: "31", State.WARN: "33"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `what_to_do` is empty if nothing needs doing. Never holds a secret."""

    what: str
    state: State
    detail: str = ""
    what_to_do: str = ""


def passed(what: str, detail: str = "") -> Finding:
    """Make a finding about something that works."""
    return Finding(what, State.OK, detail)


def failed(what: str, detail: str, what_to_do: str) -> Finding:
    """Make a finding about something that the server needs and that does not work."""
    return Finding(what, State.FAIL, detail, what_to_do)


def warned(what: str, detail: str, what_to_do: str) -> Finding:
    """Make a finding about something that the server can run without, or that will cause trouble later."""
    return Finding(what, State.WARN, detail, what_to_do)


def has_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether something required does not work."""
    return any(finding.state is State.FAIL for finding in findings)


def render(
    findings: Sequence[Finding],
    *,
    width: int,
    colour: bool = False,
    verdicts: tuple[str, str] = ("ready to serve", "not ready to serve"),
) -> str:
    """Return the table and its summary line. Long texts wrap inside their column, so that lines fit `width` characters.

    `width` 0: one line per finding, however long, for pipes and logs. `verdicts`: without a failure, and with one.
    """
    rows = [tuple(_plain(cell) for cell in (item.what, item.state, item.detail, item.what_to_do)) for item in findings]
    widths = _widths([_HEADINGS, *rows], width)
    lines = _lines(_HEADINGS, widths, None)
    lines.append(_GAP.join("-" * column for column in widths))
    for finding, row in zip(findings, rows, strict=True):
        lines += _lines(row, widths, _COLOURS[finding.state] if colour else None)
    return "\n".join([*lines, "", summary(findings, verdicts)])


def summary(findings: Sequence[Finding], verdicts: tuple[str, str] = ("ready to serve", "not ready to serve")) -> str:
    """Return one line: the verdict, and how many findings work, fail, and deserve a look."""
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    verdict = verdicts[has_failed(findings)]
    failures, warnings = counts[State.FAIL], counts[State.WARN]
    return (
        f"{verdict}: {counts[State.OK]} ok, {failures} {'failure' if failures == 1 else 'failures'}, "
        f"{warnings} {'warning' if warnings == 1 else 'warnings'}"
    )


def _plain(text: str) -> str:
    """Return one line of printable ASCII: all terminals, logs and screen readers show it alike, and it is inert."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.encode("ascii", "replace").decode().split())


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    needed = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    if not width or sum(needed) + len(_GAP) * (len(needed) - 1) <= width:
        return needed
    what = min(needed[0], _MAX_WHAT_WIDTH)
    left = width - what - needed[1] - len(_GAP) * (len(needed) - 1)
    # Wide enough for the longest word, an address, so that it can be copied.
    longest_word = max(len(word) for row in rows for word in ("", *row[2].split()))
    detail = min(needed[2], max(_MIN_TEXT_WIDTH, left - min(needed[3], left // 2), longest_word))
    detail = min(detail, max(_MIN_TEXT_WIDTH, left - _MIN_TEXT_WIDTH))
    return [what, needed[1], detail, min(needed[3], max(_MIN_TEXT_WIDTH, left - detail))]


def _lines(row: Sequence[str], widths: Sequence[int], colour: str | None) -> list[str]:
    cells = [textwrap.wrap(cell, column) or [""] for cell, column in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, cells))):
        parts = [
            (cell[number] if number < len(cell) else "").ljust(column)
            for cell, column in zip(cells, widths, strict=True)
        ]
        if colour is not None:
            parts[1] = f"\x1b[{colour}m{parts[1]}\x1b[0m"
        lines.append(_GAP.join(parts).rstrip())
    return lines
