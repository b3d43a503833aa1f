"""What the bodies of requests under way hold in memory, what they become included (pure)."""

from provider.admission.clients import Client

# What of one body counts as small. Long ones may fill their part of the memory without keeping short ones out.
SMALL_BYTES = 256 << 10
LARGE_PART = 3, 4
# One client's part: others get theirs whatever it sends.
CLIENT_PART = 1, 2


class Bodies:
    """Counts bytes of bodies that are held. `max_bytes` 0 for no limit."""

    def __init__(self, *, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._max_large = max_bytes * LARGE_PART[0] // LARGE_PART[1]
        self._max_of_client = max_bytes * CLIENT_PART[0] // CLIENT_PART[1]
        self.held_bytes = 0
        self._large_bytes = 0
        self._by_client: dict[Client, int] = {}

    def has_room(self, growth: int, large_growth: int, client: Client | None) -> bool:
        """May a body grow by so much, of which `large_growth` is beyond SMALL_BYTES?"""
        if not self._max_bytes:
            return True
        of_client = 0 if client is None else self._by_client.get(client, 0) + growth
        return (
            self.held_bytes + growth <= self._max_bytes
            and (not large_growth or self._large_bytes + large_growth <= self._max_large)
            and of_client <= self._max_of_client
        )

    def count(self, growth: int, large_growth: int, client: Client | None) -> None:
        """It has grown, or shrunk."""
        self.held_bytes += growth
        self._large_bytes += large_growth
        if client is not None:
            of_client = self._by_client.get(client, 0) + growth
            if of_client:
                self._by_client[client] = of_client
            else:
                self._by_client.pop(client, None)


class HeldBody:
    """What one request holds, of `client` (None: of nobody in particular)."""

    __slots__ = ("_bodies", "client", "size_bytes")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.client: Client | None = None
        self.size_bytes = 0

    def resize(self, size_bytes: int) -> bool:
        """Hold so much from here on; False, and nothing has changed, when that is too much."""
        growth = size_bytes - self.size_bytes
        large_growth = max(0, size_bytes - SMALL_BYTES) - max(0, self.size_bytes - SMALL_BYTES)
        if growth > 0 and not self._bodies.has_room(growth, large_growth, self.client):
            return False
        self._bodies.count(growth, large_growth, self.client)
        self.size_bytes = size_bytes
        return True
