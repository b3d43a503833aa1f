"""The health of each file, in memory: the last uses say whether its origin works (pure).

Only paid uses count, so a stranger can neither make a dataset look broken nor push out another. Refusals, consumers
that left, and faults of this server do not count against an origin.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from provider.books.percentiles import Sizes
from provider.books.record import COMPLETE, Use

MAX_FILES = 5_000
"""Files remembered. Each takes about 1 KiB."""
LEAST_SECONDS = 0.0005
LEAST_BYTES_PER_SECOND = 1024.0
RATED_BYTES = 64 << 10
"""Bodies shorter than this do not measure the speed of an origin."""
FAILING_SECONDS = 86_400.0
"""A failure counts until this time has passed without another use."""
MAX_NAMED = 20
"""Number of failing files that a metric names. The others are counted together as `others`."""
OTHERS = ("others", "")
BODY_FAILURES = frozenset({"upstream_truncated", "upstream_too_short"})
"""Failures that a request does not find if only the head of its answer is read."""


def _seconds() -> Sizes:
    return Sizes(LEAST_SECONDS)


def _rates() -> Sizes:
    return Sizes(LEAST_BYTES_PER_SECOND)


@dataclass(slots=True)
class FileHealth:
    """The health of one file. Times are unix seconds, 0 for never.

    Attributes:
        file_index: -1 where a request named none.
        code: error code of the last failure of its origin.
        failures_in_a_row: of its origin, since the last success.
        uses: in all. The next fields are the bytes sent, and the failures of each side.
        probed_at: when the server itself last asked the origin.
        first_bytes: seconds from the request's head to the first byte, of recent uses.
        rates: bytes per second from the first byte on, of recent uses that were complete.
    """

    did: str
    file_index: int
    last_success_at: float = 0.0
    last_failure_at: float = 0.0
    code: str = ""
    failures_in_a_row: int = 0
    uses: int = 0
    sent_bytes: int = 0
    consumer_failures: int = 0
    origin_failures: int = 0
    our_failures: int = 0
    probed_at: float = 0.0
    first_bytes: Sizes = field(default_factory=_seconds)
    rates: Sizes = field(default_factory=_rates)

    def note(self, use: Use) -> None:
        """Take in a use."""
        self.uses += 1
        self.sent_bytes += use.sent_bytes
        self._time(use)
        if use.outcome == COMPLETE:
            self.last_success_at = use.ended_at
            self.failures_in_a_row = 0
        elif use.fault == "origin":
            self.origin_failures += 1
            self.failures_in_a_row += 1
            self.last_failure_at, self.code = use.ended_at, use.outcome
        elif use.fault == "consumer":
            self.consumer_failures += 1
        else:
            self.our_failures += 1

    def probed(self, outcome: str, at: float) -> None:
        """Take in a request of the server itself. `outcome`: COMPLETE, or the code of a failure of the origin."""
        self.probed_at = at
        if outcome != COMPLETE:
            self.failures_in_a_row += 1
            self.last_failure_at, self.code = at, outcome
        elif self.code not in BODY_FAILURES:
            self.last_success_at = at
            self.failures_in_a_row = 0

    def _time(self, use: Use) -> None:
        if use.first_byte_seconds is None:
            return
        self.first_bytes.add(use.first_byte_seconds)
        sending_seconds = use.seconds - use.first_byte_seconds
        if use.outcome == COMPLETE and use.sent_bytes >= RATED_BYTES and sending_seconds > 0:
            self.rates.add(use.sent_bytes / sending_seconds)

    def shown(self) -> dict[str, Any]:
        """As values of JSON."""
        values = {of.name: getattr(self, of.name) for of in fields(self)}
        return values | {"first_bytes": list(self.first_bytes.counts), "rates": list(self.rates.counts)}

    def add(self, other: "FileHealth") -> None:
        """Merge another worker's health of the same file."""
        self.uses += other.uses
        self.sent_bytes += other.sent_bytes
        self.consumer_failures += other.consumer_failures
        self.origin_failures += other.origin_failures
        self.our_failures += other.our_failures
        self.failures_in_a_row += other.failures_in_a_row
        self.first_bytes.include(other.first_bytes)
        self.rates.include(other.rates)
        if other.last_failure_at > self.last_failure_at:
            self.last_failure_at, self.code = other.last_failure_at, other.code
        self.last_success_at = max(self.last_success_at, other.last_success_at)
        self.probed_at = max(self.probed_at, other.probed_at)
        if self.last_success_at > self.last_failure_at:
            self.failures_in_a_row = 0

    def is_failing(self, now: float) -> bool:
        """True if its origin failed at the last use that counts."""
        return self.failures_in_a_row > 0 and now - self.last_failure_at < FAILING_SECONDS


class Health:
    """The health of all files that this process has served."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, int], FileHealth] = OrderedDict()
        self._of_dataset: Counter[str] = Counter()

    def note(self, use: Use) -> None:
        """Take in a use that has ended."""
        if not use.is_bought or not use.did:
            return
        self._file(use.did, -1 if use.file_index is None else use.file_index).note(use)

    def probed(self, did: str, file_index: int, outcome: str, at: float) -> None:
        """Take in a request of the server itself; see `FileHealth.probed`."""
        self._file(did, file_index).probed(outcome, at)

    def _file(self, did: str, file_index: int) -> FileHealth:
        key = did, file_index
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = FileHealth(*key)
            self._of_dataset[did] += 1
            if len(self._files) > MAX_FILES:
                self._forget_one()
        self._files.move_to_end(key)
        return file

    def _forget_one(self) -> None:
        """Forget a file of the dataset with the most files, so that it pushes out its own and nobody else's."""
        most = max(self._of_dataset.values())
        did, file_index = next(key for key in self._files if self._of_dataset[key[0]] == most)
        del self._files[did, file_index]
        self._of_dataset[did] -= 1
        if not self._of_dataset[did]:
            del self._of_dataset[did]

    def failing(self, now: float) -> dict[tuple[object, ...], float]:
        """Failures in a row by DID and file: the longest rows, and the number of all other failing files."""
        ill = [file for file in self._files.values() if file.is_failing(now)]
        ill.sort(key=lambda file: -file.failures_in_a_row)
        shown: dict[tuple[object, ...], float] = {
            (file.did, str(file.file_index)): file.failures_in_a_row for file in ill[:MAX_NAMED]
        }
        return {**shown, OTHERS: max(0, len(ill) - MAX_NAMED)}

    def worth_showing(self, now: float, count: int) -> list[dict[str, Any]]:
        """Up to `count` files as values of JSON: the failing ones first, then those used last."""
        latest = list(reversed(self._files.values()))
        latest.sort(key=lambda file: not file.is_failing(now))
        return [file.shown() for file in latest[:count]]


def _read(shown: Mapping[str, Any]) -> FileHealth:
    """Parse the result of `FileHealth.shown`."""
    values = dict(shown)
    first_bytes, rates = (
        Sizes(LEAST_SECONDS, values.pop("first_bytes")),
        Sizes(LEAST_BYTES_PER_SECOND, values.pop("rates")),
    )
    return FileHealth(**values, first_bytes=first_bytes, rates=rates)


def merged(workers: Sequence[Sequence[Mapping[str, Any]]], now: float, count: int) -> list[FileHealth]:
    """The files of all workers: the failing ones first, then those with most uses."""
    files: dict[tuple[str, int], FileHealth] = {}
    for worker in workers:
        for shown in worker:
            other = _read(shown)
            known = files.setdefault((other.did, other.file_index), other)
            if known is not other:
                known.add(other)
    ranked = sorted(files.values(), key=lambda file: (not file.is_failing(now), -file.uses, file.did, file.file_index))
    return ranked[:count]
