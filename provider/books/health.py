"""Which dataset is ill: what the last uses of each file say about its origin, in memory (pure).

Only uses that were paid for count, so no stranger can make a dataset look ill, or push another out. A refusal and a
consumer that left say nothing about an origin; neither does a fault of this server.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from provider.books.record import COMPLETE, Use

MAX_FILES = 5_000
"""Files remembered; the one used longest ago is forgotten first. Each takes about 500 bytes."""
FAILING_SECONDS = 86_400.0
"""A failure that is older than this, without another use since, no longer counts as an illness."""
MAX_NAMED = 20
"""Failing files that a metric names. The rest is counted together as `others`."""
OTHERS = ("others", "")


@dataclass(slots=True)
class FileHealth:
    """What is known of one file. Times are unix seconds, 0 for never.

    Attributes:
        file_index: -1 where a request named none.
        code: error code of the last failure of its origin.
        failures_in_a_row: of its origin, since the last success.
        uses: in all; with the failures of each side, and the bytes sent.
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

    def note(self, use: Use) -> None:
        """Take in what a use says."""
        self.uses += 1
        self.sent_bytes += use.sent_bytes
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

    def add(self, other: "FileHealth") -> None:
        """Take in what another worker knows of the same file."""
        self.uses += other.uses
        self.sent_bytes += other.sent_bytes
        self.consumer_failures += other.consumer_failures
        self.origin_failures += other.origin_failures
        self.our_failures += other.our_failures
        self.failures_in_a_row += other.failures_in_a_row
        if other.last_failure_at > self.last_failure_at:
            self.last_failure_at, self.code = other.last_failure_at, other.code
        self.last_success_at = max(self.last_success_at, other.last_success_at)
        if self.last_success_at > self.last_failure_at:
            self.failures_in_a_row = 0

    def is_failing(self, now: float) -> bool:
        """Did its origin fail at the last use that says something?"""
        return self.failures_in_a_row > 0 and now - self.last_failure_at < FAILING_SECONDS


class Health:
    """What this process knows of all files that were used."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, int], FileHealth] = OrderedDict()

    def note(self, use: Use) -> None:
        """Take in a use that has ended."""
        if not use.is_bought or not use.did:
            return
        key = use.did, -1 if use.file_index is None else use.file_index
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = FileHealth(*key)
            if len(self._files) > MAX_FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(key)
        file.note(use)

    def failing(self, now: float) -> dict[tuple[object, ...], float]:
        """Failures in a row by DID and file: the longest rows, and the number of all other failing files."""
        ill = [file for file in self._files.values() if file.is_failing(now)]
        ill.sort(key=lambda file: -file.failures_in_a_row)
        shown: dict[tuple[object, ...], float] = {
            (file.did, str(file.file_index)): file.failures_in_a_row for file in ill[:MAX_NAMED]
        }
        return {**shown, OTHERS: max(0, len(ill) - MAX_NAMED)}

    def worth_showing(self, now: float, count: int) -> list[dict[str, Any]]:
        """Up to `count` files as JSON can hold them: the ill ones first, then those used last."""
        latest = list(reversed(self._files.values()))
        latest.sort(key=lambda file: not file.is_failing(now))
        return [asdict(file) for file in latest[:count]]


def merged(workers: Sequence[Sequence[Mapping[str, Any]]], now: float, count: int) -> list[FileHealth]:
    """What all workers know: the ill files first, then those with most uses."""
    files: dict[tuple[str, int], FileHealth] = {}
    for worker in workers:
        for shown in worker:
            other = FileHealth(**shown)
            known = files.setdefault((other.did, other.file_index), other)
            if known is not other:
                known.add(other)
    ranked = sorted(files.values(), key=lambda file: (not file.is_failing(now), -file.uses, file.did, file.file_index))
    return ranked[:count]
