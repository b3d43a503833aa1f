"""Cases that several scripts share: small files over several connections, and parts of a large file."""

from collections.abc import Sequence

from benchmarks.daemon import PartFailed
from benchmarks.options import Options
from benchmarks.result import Case

KIB, MIB = 1 << 10, 1 << 20


def small(connections: int, *, size_bytes: int = KIB, file_index: int = 0) -> Case:
    """Request whole files repeatedly over kept connections, as many as the time allows."""
    name = f"{size(size_bytes)}, {count(connections, 'connection')}"
    return Case(name, "request", connections, file_index, size_bytes)


def large(connections: int, part_bytes: int, *, file_index: int) -> Case:
    """Each connection requests its part of a large file once."""
    name = f"{connections} × {size(part_bytes)}"
    return Case(name, "GB", connections, file_index, part_bytes, requests=1)


def wanted(cases: Sequence[Case], options: Options) -> list[Case]:
    """Return the cases that `--only` names. Raises PartFailed if there are none."""
    found = [case for case in cases if options.only in case.name]
    if not found:
        raise PartFailed(f"no case is named like {options.only!r}; there are: {', '.join(case.name for case in cases)}")
    return found


def size(count_bytes: int) -> str:
    """Format a size in the largest unit that gives a whole number."""
    for unit, name in ((1 << 30, "GiB"), (MIB, "MiB")):
        if count_bytes % unit == 0:
            return f"{count_bytes // unit} {name}"
    return f"{count_bytes / KIB:g} KiB"


def count(number: int, noun: str) -> str:
    """Format a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
