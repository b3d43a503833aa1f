"""Findings, and how they are printed: an aligned table of plain ASCII text, JSON, or only what needs attention."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

import orjson

EXIT_FAILED = 1
Form = Literal["table", "json", "quiet"]
READY = ("ready to serve", "not ready to serve")
"""The last line without a failure, and with one."""

_HEADINGS = ("what", "state", "detail", "what to do")
_GAP = "  "
_MIN_TEXT_WIDTH = 16
_MAX_WHAT_WIDTH = 44


class State(StrEnum):
    """The state of a finding. `FAIL` makes the exit status 1; `warn` is worth a look; `-` was not reached."""

    OK = "ok"
    FAIL = "FAIL"
    WARN = "warn"
    SKIP = "-"


# SGR parameters of ECMA-48, section 8.3.117: green, red, yellow, faint.
_COLOURS = {State.OK: "32", State.FAIL: "31", State.WARN: "33", State.SKIP: "2"}


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


def skipped(what: str) -> Finding:
    """Make a finding about a step that was not reached."""
    return Finding(what, State.SKIP, "not reached")


def has_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether something required does not work."""
    return any(finding.state is State.FAIL for finding in findings)


def render(
    findings: Sequence[Finding],
    *,
    width: int,
    colour: bool = False,
    verdicts: tuple[str, str] = READY,
) -> str:
    """Return the table and its summary line. Long texts wrap inside their column, so that lines fit `width` characters.

    `width` 0: one line per finding, however long, for pipes and logs. `verdicts`: without a failure, and with one.
    """
    rows = [tuple(plain(cell) for cell in (item.what, item.state, item.detail, item.what_to_do)) for item in findings]
    widths = _widths([_HEADINGS, *rows], width)
    lines = _lines(_HEADINGS, widths, None)
    lines.append(_GAP.join("-" * column for column in widths))
    for finding, row in zip(findings, rows, strict=True):
        lines += _lines(row, widths, _COLOURS[finding.state] if colour else None)
    return "\n".join([*lines, "", summary(findings, verdicts)])


def show(findings: Sequence[Finding], *, form: Form = "table", verdicts: tuple[str, str] = READY) -> int:
    """Print the findings and return the exit status: 1 if something failed, otherwise 0.

    `form`: "json" for one JSON object; "quiet" for a line for each failure and warning, and nothing else.
    """
    if form == "json":
        print(as_json(findings, verdicts))
    elif form == "quiet":
        for finding in findings:
            if finding.state in (State.FAIL, State.WARN):
                print(f"{finding.state}: {plain(finding.what)}: {plain(finding.detail)}: {plain(finding.what_to_do)}")
    else:
        is_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else 0
        print(render(findings, width=width, colour=is_terminal, verdicts=verdicts))
    return EXIT_FAILED if has_failed(findings) else 0


def as_json(findings: Sequence[Finding], verdicts: tuple[str, str] = READY) -> str:
    """One JSON object on one line: `ok`, `verdict`, and `findings` with `what`, `state`, `detail`, `what_to_do`."""
    failed_any = has_failed(findings)
    return orjson.dumps(
        {"ok": not failed_any, "verdict": verdicts[failed_any], "findings": [asdict(item) for item in findings]}
    ).decode()


def summary(findings: Sequence[Finding], verdicts: tuple[str, str] = READY) -> str:
    """Return one line: the verdict, and how many findings work, fail, and deserve a look."""
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    verdict = verdicts[has_failed(findings)]
    failures, warnings = counts[State.FAIL], counts[State.WARN]
    return (
        f"{verdict}: {counts[State.OK]} ok, {failures} {'failure' if failures == 1 else 'failures'}, "
        f"{warnings} {'warning' if warnings == 1 else 'warnings'}"
    )


def plain(text: str) -> str:
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
