"""Answers questions about the books: sums by dataset, consumer, day or outcome, of one file or of several hosts'."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from provider.books.probes import SoldFile
from provider.books.sql import DAY_SECONDS, check_version
from provider.errors import StoreError
from provider.sqlite import explain

By = Literal["dataset", "consumer", "day", "outcome"]
RECORD_COLUMNS = (
    "ended",
    "endpoint",
    "did",
    "service",
    "file",
    "job",
    "consumer",
    "order_tx",
    "chain",
    "link",
    "outcome",
    "fault",
    "requests",
    "bytes",
    "cached_bytes",
    "part",
    "path",
    "seconds",
)

_SUMS = (
    "sum(uses), sum(CASE fault WHEN '' THEN uses ELSE 0 END), sum(CASE fault WHEN 'consumer' THEN uses ELSE 0 END),"
    " sum(CASE fault WHEN 'origin' THEN uses ELSE 0 END), sum(CASE fault WHEN 'ours' THEN uses ELSE 0 END),"
    " sum(requests), sum(bytes), sum(cached_bytes), sum(seconds)"
)
_SINCE = "WHERE day >= :day AND (:did = '' OR dataset = (SELECT id FROM datasets WHERE did = :did))"
_CONSUMERS_OF_DATASET = (
    f"SELECT consumer, {_SUMS.replace('sum(uses)', 'count(*)').replace('THEN uses', 'THEN 1')} FROM records"  # noqa: S608 - constants
    " WHERE dataset = (SELECT id FROM datasets WHERE did = :did) AND ended_at >= :day * 86400.0 GROUP BY consumer"
)
_BUYERS = f"SELECT dataset, count(*) FROM buyers {_SINCE.replace('day', 'last_day', 1)} GROUP BY dataset"  # noqa: S608 - constants
_EACH_BUYER = f"SELECT dataset, consumer FROM buyers {_SINCE.replace('day', 'last_day', 1)}"  # noqa: S608 - constants
_RECORDS = (
    f"SELECT {', '.join(RECORD_COLUMNS)} FROM usage WHERE ended_at >= :day * 86400.0"  # noqa: S608 - constants
    " AND (:did = '' OR did = :did)"
)

# The latest file of each dataset comes before the second one of any.
_SOLD = (
    "SELECT did, service, file, last, row_number() OVER (PARTITION BY did ORDER BY last DESC) AS place FROM"
    " (SELECT did, service, file, max(ended_at) AS last FROM records JOIN datasets ON datasets.id = dataset"
    " WHERE ended_at >= :since AND file IS NOT NULL AND did <> '' GROUP BY did, service, file)"
    " ORDER BY place, last DESC LIMIT :count"
)


@dataclass(slots=True)
class Sums:
    """The sums of one dataset, consumer, day or outcome.

    Attributes:
        uses: downloads, sessions of links and results of compute jobs, refused ones included.
        complete: those that ended well. The next three are the others, by the side at fault.
        requests: of a session of a link, each of its requests.
        cached_bytes: the part of the bytes that did not come from the origin.
        buyers: consumers whose order was accepted; None if not asked for.
    """

    uses: int = 0
    complete: int = 0
    consumer: int = 0
    origin: int = 0
    ours: int = 0
    requests: int = 0
    sent_bytes: int = 0
    cached_bytes: int = 0
    seconds: float = 0.0
    buyers: int | None = None

    def add(self, numbers: Sequence[float]) -> None:
        """Add the sums of another file."""
        self.uses += int(numbers[0])
        self.complete += int(numbers[1])
        self.consumer += int(numbers[2])
        self.origin += int(numbers[3])
        self.ours += int(numbers[4])
        self.requests += int(numbers[5])
        self.sent_bytes += int(numbers[6])
        self.cached_bytes += int(numbers[7])
        self.seconds += numbers[8]


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `day`: the first day that counts, in days since 1970 (UTC). `did`: "" for all datasets."""

    day: int
    did: str = ""

    @property
    def values(self) -> Mapping[str, object]:
        """Parameters of a statement."""
        return {"day": self.day, "did": self.did}


def first_day(since: str, now: float) -> int:
    """The day (UTC) with which a time begins: `7d` for seven days ago, or a date such as `2026-11-30`.

    Raises ValueError.
    """
    if since.endswith("d") and since[:-1].isascii() and since[:-1].isdigit() and len(since) < 8:
        return int(now // DAY_SECONDS) - int(since[:-1])
    try:
        begin = datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("give a number of days such as 7d, or a date such as 2026-11-30") from None
    return (begin - datetime.fromtimestamp(0, UTC)) // timedelta(days=1)


def sums(paths: Sequence[Path], by: By, question: Question) -> dict[str, Sums]:
    """Sums of all files together, most uses first, days in their order. Raises StoreError."""
    found: dict[str, Sums] = {}
    for path in paths:
        # Rows are grouped by the numbers of datasets, which takes a third of the time of grouping by DID.
        names = _names(path) if by == "dataset" else {}
        for key, *numbers in _rows(path, _query(by, question), question.values):
            name = names[key] if by == "dataset" else _date(int(str(key))) if by == "day" else str(key)
            found.setdefault(name, Sums()).add([float(str(number)) for number in numbers])
    if by == "dataset":
        counted = _count_buyers(paths, question)
        for name, row in found.items():
            row.buyers = counted.get(name, 0)
    if by == "day":
        return dict(sorted(found.items()))
    return dict(sorted(found.items(), key=lambda row: (-row[1].uses, row[0])))


def _count_buyers(paths: Sequence[Path], question: Question) -> Mapping[str, int]:
    """Buyers by DID. A buyer at several hosts counts once."""
    if len(paths) == 1:
        names = _names(paths[0])
        return {names[number]: int(str(count)) for number, count in _rows(paths[0], _BUYERS, question.values)}
    everybody: dict[str, set[object]] = {}
    for path in paths:
        names = _names(path)
        for number, consumer in _rows(path, _EACH_BUYER, question.values):
            everybody.setdefault(names[number], set()).add(consumer)
    return {did: len(consumers) for did, consumers in everybody.items()}


def records(paths: Sequence[Path], question: Question) -> Iterator[tuple[object, ...]]:
    """The records of all files, one file after the other, as RECORD_COLUMNS. Raises StoreError."""
    for path in paths:
        yield from _rows(path, _RECORDS, question.values)


def sold_files(path: Path, since: float, count: int) -> list[SoldFile]:
    """Files that were bought and asked for since a time (unix seconds). Raises StoreError.

    Datasets share `count`: one with many files does not take the places of others. Files used last come first.
    """
    if not path.is_file():
        return []
    rows = _rows(path, _SOLD, {"since": since, "count": count})
    return [SoldFile(str(did), str(service), int(str(file))) for did, service, file, *_ in rows]


def _query(by: By, question: Question) -> str:
    if by != "consumer":
        return f"SELECT {by}, {_SUMS} FROM dataset_days {_SINCE} GROUP BY 1"  # noqa: S608 - constants
    if question.did:
        return _CONSUMERS_OF_DATASET
    return f"SELECT consumer, {_SUMS} FROM consumer_days WHERE day >= :day GROUP BY 1"  # noqa: S608 - constants


def _names(path: Path) -> Mapping[object, str]:
    """DIDs by the numbers that a file gave them; "" for compute results, and for refusals that may name any."""
    return {number: str(did) for number, did in _rows(path, "SELECT id, did FROM datasets", {})}


def _rows(path: Path, query: str, values: Mapping[str, object]) -> Iterator[tuple[object, ...]]:
    """Rows of a file that a server may be writing. The file is not changed. Raises StoreError."""
    if not path.is_file():
        raise StoreError(detail=f"{path}: no such file; nothing was recorded there")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            check_version(connection, path, may_be_new=False)
            yield from connection.execute(query, values)
    except sqlite3.Error as error:
        raise StoreError(detail=explain(path, error)) from None


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).strftime("%Y-%m-%d")
