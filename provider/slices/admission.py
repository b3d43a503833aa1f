"""Which files are worth caching: those that are asked for again within a day (pure)."""

from collections import OrderedDict

_WITHIN_SECONDS = 86_400.0
# An entry takes about 200 bytes.
_MAX_FILES = 50_000


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
