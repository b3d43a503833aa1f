"""Limits the open connections: in total, and per client (pure)."""

from provider.admission.clients import Client

# Reserved for files, the store, the admin listener, and connections to nodes and services.
RESERVED_DESCRIPTORS = 200


def fitting_connections(descriptors: int) -> int:
    """Return how many connections fit the descriptor limit. A download holds a second descriptor, to its origin."""
    return max(16, (descriptors - RESERVED_DESCRIPTORS) // 2)


class Connections:
    """Counts open connections. 0 means no limit; client None has no limit of its own."""

    def __init__(self, *, max_all: int = 0, max_per_client: int = 0) -> None:
        self.max_all = max_all
        self._max_per_client = max_per_client
        self.open = 0
        self._of_clients: dict[Client, int] = {}

    def take(self, client: Client | None) -> bool:
        """Count one more connection; False if the limit is reached. Call `give_back` when it ends."""
        if self.max_all and self.open >= self.max_all:
            return False
        if client is not None and self._max_per_client:
            own = self._of_clients.get(client, 0)
            if own >= self._max_per_client:
                return False
            self._of_clients[client] = own + 1
        self.open += 1
        return True

    def give_back(self, client: Client | None) -> None:
        """Count one connection less."""
        self.open -= 1
        if client is not None and self._max_per_client:
            own = self._of_clients[client] - 1
            if own:
                self._of_clients[client] = own
            else:
                del self._of_clients[client]
