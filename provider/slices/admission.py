"""Decides what is worth caching: files requested again within a day, and slices of which enough is asked (pure)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_WITHIN_SECONDS = 86_400.0
# An entry takes about 200 bytes.
_MAX_FILES = 50_000
_MAX_SLICES = 20_000
# Slices are fetched once this part of them was asked for. So an origin never sends more than this many times what
# consumers ask for, and as much again while it is asked.
FETCHED_PER_ASKED = 8
# A request counts as at least this much. It costs the origin about as much, and a range that many ask for is cached in
# the end.
_LEAST_BYTES = 4096


class Admission:
    """Counts requests per file, in bounded memory. `from_request`: the request that admits a file."""

    def __init__(self, from_request: int, *, max_files: int = _MAX_FILES) -> None:
        self._from_request = from_request
        self._max_files = max_files
        self._seen: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def admits(self, key: bytes, *, now: float) -> bool:
        """Count one request at `now` (seconds). True if the file is worth caching."""
        last, count = self._seen.pop(key, (now, 0))
        if now - last > _WITHIN_SECONDS:
            count = 0
        count = min(count + 1, self._from_request)
        self._seen[key] = (now, count)
        if len(self._seen) > self._max_files:
            self._seen.popitem(last=False)
        return count >= self._from_request


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part of a slice that is not there. `asked_bytes`: of its `length_bytes`."""

    name: str
    asked_bytes: int
    length_bytes: int


class Demand:
    """Counts the bytes that are asked of slices which are not there, in bounded memory."""

    def __init__(self, *, max_slices: int = _MAX_SLICES) -> None:
        self._max_slices = max_slices
        self._asked: OrderedDict[str, int] = OrderedDict()

    def pays_for(self, parts: Sequence[Wanted]) -> bool:
        """Count one request for `parts`. True if their slices should be fetched whole; the count is used up then."""
        for part in parts:
            self._asked[part.name] = self._asked.pop(part.name, 0) + max(part.asked_bytes, _LEAST_BYTES)
        asked = sum(self._asked[part.name] for part in parts)
        pays = asked * FETCHED_PER_ASKED >= sum(part.length_bytes for part in parts)
        if pays:
            for part in parts:
                del self._asked[part.name]
        while len(self._asked) > self._max_slices:
            self._asked.popitem(last=False)
        return pays
