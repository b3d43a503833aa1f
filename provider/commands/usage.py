"""`provider usage`: who took what from this Provider, from the books of one host or of several."""

import csv
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import orjson

from provider.books.reading import RECORD_COLUMNS, By, Question, Sums, first_day, records, sums
from provider.errors import StoreError

EXIT_FAILED = 1
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NO_DATASET = "(none)"
_FAULTS = ("consumer_faults", "origin_faults", "our_faults")
_NUMBERS = ("uses", "complete", *_FAULTS, "requests", "bytes", "cached_bytes", "seconds")


def usage(
    paths: Sequence[Path], *, since: str, by: By, did: str, every_record: bool, form: str, out: TextIO = sys.stdout
) -> int:
    """Run the command and return the exit status.

    Args:
        paths: files of the books.
        since: as in `first_day`.
        by: what to sum up.
        did: only this dataset; "" for all.
        every_record: print records and no sums.
        form: "table", "csv" or "json" (lines).
        out: where to print.
    """
    try:
        question = Question(first_day(since, time.time()), did)
    except ValueError as error:
        print(f"provider: --since: {error}", file=sys.stderr)
        return EXIT_FAILED
    try:
        if every_record:
            _print(form, RECORD_COLUMNS, records(paths, question), out)
        else:
            found = sums(paths, by, question)
            _print(form, _columns(by), (_row(by, *each, exact=form != "table") for each in found.items()), out)
    except StoreError as error:
        print(f"provider: {error.detail}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader has stopped, as `head` does. Python would report the broken pipe again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def export(paths: Sequence[Path], into: Path, *, since: str, did: str) -> int:
    """Write every record into a Parquet file and return the exit status. Arguments as in `usage`."""
    try:
        # The library is large, and few need it.
        from provider.commands.parquet import write_parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        print("provider: --parquet needs the extra `parquet`: pip install pyarrow", file=sys.stderr)
        return EXIT_FAILED
    try:
        question = Question(first_day(since, time.time()), did)
    except ValueError as error:
        print(f"provider: --since: {error}", file=sys.stderr)
        return EXIT_FAILED
    if any(into.resolve() == path.resolve() for path in paths):
        print(f"provider: {into}: the books are in this file", file=sys.stderr)
        return EXIT_FAILED
    try:
        count = write_parquet(into, records(paths, question))
    except StoreError as error:
        print(f"provider: {error.detail}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"provider: {into}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{count} records in {into}")
    return 0


def _columns(by: By) -> tuple[str, ...]:
    return (by, *_NUMBERS, *(("buyers",) if by == "dataset" else ()))


def _row(by: By, key: str, counted: Sums, *, exact: bool) -> tuple[object, ...]:
    numbers = asdict(counted)
    buyers = numbers.pop("buyers")
    if exact:
        numbers["seconds"] = round(counted.seconds, 3)
    else:
        key = key or _NO_DATASET
        numbers["sent_bytes"], numbers["cached_bytes"] = _bytes(counted.sent_bytes), _bytes(counted.cached_bytes)
        numbers["seconds"] = f"{counted.seconds:.1f}"
    return key, *numbers.values(), *((buyers,) if by == "dataset" else ())


def _print(form: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]], out: TextIO) -> None:
    if form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(map(_defused, rows))
    elif form == "json":
        for row in rows:
            out.write(orjson.dumps(dict(zip(columns, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE).decode())
    else:
        _print_table(columns, [[_shown(value) for value in row] for row in rows], out)
    out.flush()


def _defused(row: tuple[object, ...]) -> list[object]:
    """Neutralise a value that a spreadsheet would take for a formula: publishers choose the ids of services."""
    return [f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value for value in row]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        first, *others = row
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        out.write("  ".join(cells).rstrip() + "\n")


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _bytes(count: float) -> str:
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""
