"""Limits the memory that request bodies in progress hold, including what they are parsed into (pure)."""

from provider.admission.clients import Client

# The small part of a body. Long bodies may fill only a part of the memory, so that short ones still get in.
SMALL_BYTES = 256 << 10
LARGE_PART = 3, 4
# The part that one client may hold, so that some is always left for others.
CLIENT_PART = 1, 2


class Bodies:
    """Counts the bytes of bodies in memory. `max_bytes` 0 means no limit."""

    def __init__(self, *, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._max_large = max_bytes * LARGE_PART[0] // LARGE_PART[1]
        self._max_of_client = max_bytes * CLIENT_PART[0] // CLIENT_PART[1]
        self.held_bytes = 0
        self._large_bytes = 0
        self._by_client: dict[Client, int] = {}

    def has_room(self, growth: int, large_growth: int, client: Client | None) -> bool:
        """Tell whether a body may grow by `growth` bytes, `large_growth` of which are beyond SMALL_BYTES."""
        if not self._max_bytes:
            return True
        of_client = 0 if client is None else self._by_client.get(client, 0) + growth
        return (
            self.held_bytes + growth <= self._max_bytes
            and (not large_growth or self._large_bytes + large_growth <= self._max_large)
            and of_client <= self._max_of_client
        )

    def count(self, growth: int, large_growth: int, client: Client | None) -> None:
        """Record that a body has grown, or shrunk."""
        self.held_bytes += growth
        self._large_bytes += large_growth
        if client is not None:
            of_client = self._by_client.get(client, 0) + growth
            if of_client:
                self._by_client[client] = of_client
            else:
                self._by_client.pop(client, None)


class HeldBody:
    """The memory that one request holds, for `client`; None if it counts for no client."""

    __slots__ = ("_bodies", "client", "size_bytes")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.client: Client | None = None
        self.size_bytes = 0

    def resize(self, size_bytes: int) -> bool:
        """Hold `size_bytes` from here on. Returns False, and changes nothing, if that is too much."""
        growth = size_bytes - self.size_bytes
        large_growth = max(0, size_bytes - SMALL_BYTES) - max(0, self.size_bytes - SMALL_BYTES)
        if growth > 0 and not self._bodies.has_room(growth, large_growth, self.client):
            return False
        self._bodies.count(growth, large_growth, self.client)
        self.size_bytes = size_bytes
        return True
