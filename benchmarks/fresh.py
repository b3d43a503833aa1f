"""Runs on files that nobody has asked for: every round has one of its own."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.measure import Bench, Variant, in_order, in_turns
from benchmarks.result import Case, Sample

# Files of one size would be one file.
_STEP_BYTES = 64 << 10


def sizes(smallest_bytes: int, rounds: int) -> list[int]:
    """Return the sizes of the files of a case, one for each round."""
    return [smallest_bytes + number * _STEP_BYTES for number in range(rounds)]


def sampled(
    bench: Bench, case: Case, variants: Sequence[Variant], rounds: int, *, whole: bool = True
) -> tuple[Sample, ...]:
    """Let each variant read the file of each round once, the whole of it or the part that the case names.

    `case.file_index`: the first of the files. Raises LoadFailed.
    """
    found = []
    for round_number, variant in in_turns(case.name, variants, rounds):
        of_round = replace(
            case,
            file_index=case.file_index + round_number,
            body_bytes=case.body_bytes + (round_number * _STEP_BYTES if whole else 0),
        )
        found.append(bench.sample(of_round, variant, round_number, 1))
    return in_order(found, variants)
