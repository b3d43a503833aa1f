"""What request bodies under way hold in memory, all together (pure)."""


class Bodies:
    """Counts bytes of bodies that are held. `max_bytes` 0 for no limit."""

    def __init__(self, *, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> bool:
        """Count so many more, to be let go; False when that is too much."""
        if self._max_bytes and self.held_bytes + size_bytes > self._max_bytes:
            return False
        self.held_bytes += size_bytes
        return True

    def let_go(self, size_bytes: int) -> None:
        """The body is no longer there."""
        self.held_bytes -= size_bytes
