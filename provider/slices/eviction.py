"""Decides which slice leaves first (pure): S3-FIFO.

J. Yang, Y. Zhang, Z. Qiu, Y. Yue, R. Vinayak: "FIFO queues are all you need for cache eviction", SOSP 2023. A slice
starts in a small queue. If it is used again there, it moves to the main queue. Otherwise it leaves, and only its name
is remembered for a while. One long scan therefore passes through a tenth of the cache.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

_SMALL_PART = 0.1
_MAX_USES = 3
# About 25 ms.
_MAX_STEPS = 50_000


class Eviction:
    """The queues. They hold names and sizes; the slices themselves are elsewhere."""

    def __init__(self) -> None:
        self._small: OrderedDict[str, int] = OrderedDict()
        self._main: OrderedDict[str, int] = OrderedDict()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._small_bytes = 0
        self.bytes = 0
        """Bytes of all slices."""

    def __len__(self) -> int:
        return len(self._uses)

    def __contains__(self, name: str) -> bool:
        return name in self._uses

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._uses))

    def add(self, name: str, size_bytes: int, *, proven: bool = False) -> None:
        """Add a slice. `proven`: it survived earlier, so it starts in the main queue."""
        self.remove(name)
        self._uses[name] = 0
        self.bytes += size_bytes
        if proven or name in self._ghosts:
            self._ghosts.pop(name, None)
            self._main[name] = size_bytes
        else:
            self._small[name] = size_bytes
            self._small_bytes += size_bytes

    def use(self, name: str) -> None:
        """Record that a slice was used. An unknown name is ignored."""
        if name in self._uses:
            self._uses[name] = min(self._uses[name] + 1, _MAX_USES)

    def remove(self, name: str) -> None:
        """Forget a slice that is gone. An unknown name is ignored."""
        if self._uses.pop(name, None) is None:
            return
        size = self._small.pop(name, None)
        if size is None:
            size = self._main.pop(name)
        else:
            self._small_bytes -= size
        self.bytes -= size

    def evict(self, in_use: Callable[[str], bool]) -> str | None:
        """Remove the slice that should leave first and return its name. None if every slice is in use."""
        # By then each slice has been passed over once for every use that it can have, or the event loop needs a turn.
        for _ in range(min((len(self._uses) + 1) * (_MAX_USES + 2), _MAX_STEPS)):
            if not self._uses:
                return None
            if self._small and (self._small_bytes >= _SMALL_PART * self.bytes or not self._main):
                name = self._from_small(in_use)
            else:
                name = self._from_main(in_use)
            if name is not None:
                return name
        return None

    def _from_small(self, in_use: Callable[[str], bool]) -> str | None:
        name, size = self._small.popitem(last=False)
        self._small_bytes -= size
        if in_use(name) or self._uses[name] > 0:
            # The paper asks for two uses, but its requests are for whole objects. A slice is used once per download.
            self._uses[name] = 0
            self._main[name] = size
            return None
        self._drop(name, size)
        self._ghosts[name] = None
        while len(self._ghosts) > max(len(self._uses), 1):
            self._ghosts.popitem(last=False)
        return name

    def _from_main(self, in_use: Callable[[str], bool]) -> str | None:
        name, size = self._main.popitem(last=False)
        if in_use(name) or self._uses[name] > 0:
            self._uses[name] = max(self._uses[name] - 1, 0)
            self._main[name] = size
            return None
        self._drop(name, size)
        return name

    def _drop(self, name: str, size: int) -> None:
        del self._uses[name]
        self.bytes -= size
