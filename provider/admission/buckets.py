"""Token buckets, one per client, in bounded memory (pure).

Each bucket is one timestamp: the Generic Cell Rate Algorithm (ITU-T I.371 annex A). It decides like a bucket that is
filled at a rate and holds a burst, but nothing has to be refilled.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable

CLIENTS_SHARE = 4
BURST_SECONDS = 10.0


class Buckets:
    """Allows each client `rate` tokens a second, and `burst` tokens at once. `now` is any clock that only rises
    (seconds).

    Beyond `max_clients`, the client unseen for longest is forgotten, which fills its bucket.
    """

    def __init__(self, *, rate: float, burst: float, max_clients: int) -> None:
        self._rate = rate
        self._token_seconds = 1 / rate
        self._tolerance_seconds = max(0.0, burst - 1) / rate
        self.burst_seconds = self._tolerance_seconds + self._token_seconds
        """Seconds that an empty bucket needs to be full."""
        self.max_clients = max_clients
        self.charged: Callable[[Hashable, float, float], None] | None = None
        """Called with the client, the time, and the seconds that its bucket needs to refill what was taken."""
        # When each client's bucket will be full again; the client unseen for longest comes first. A plain dict would
        # find its first key only behind the places of all deleted ones: 200 µs with a million clients.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: Hashable, now: float) -> float:
        """Try to take a token. Returns 0, or the seconds until one is available; a refusal consumes nothing."""
        full_at = self._full_at.get(client, now)
        wait_seconds = full_at - now - self._tolerance_seconds
        if wait_seconds > 0:
            self._full_at.move_to_end(client)
            return wait_seconds
        self._keep(client, max(full_at, now) + self._token_seconds)
        if self.charged is not None:
            self.charged(client, now, self._token_seconds)
        return 0.0

    def wait_seconds(self, client: Hashable, now: float) -> float:
        """Return the seconds until a token is available, without taking it."""
        return max(0.0, self._full_at.get(client, now) - now - self._tolerance_seconds)

    def charge(self, client: Hashable, now: float, amount: float) -> None:
        """Take `amount` tokens for work already done. The client then waits until they are paid back."""
        cost_seconds = amount / self._rate
        self._keep(client, max(self._full_at.get(client, now), now) + cost_seconds)
        if self.charged is not None:
            self.charged(client, now, cost_seconds)

    @property
    def token_seconds(self) -> float:
        """Seconds until one token comes back."""
        return self._token_seconds

    def raise_to(self, client: Hashable, full_at: float) -> None:
        """Apply the charges of others to this bucket: it is not full before this time."""
        held = self._full_at.get(client)
        if held is None or held < full_at:
            self._keep(client, full_at)

    def _keep(self, client: Hashable, full_at: float) -> None:
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        if len(self._full_at) > self.max_clients:
            self._full_at.popitem(last=False)


class BytePace:
    """Limits the bytes worked on: in total, and for one client a quarter of that. Bursts of `BURST_SECONDS` are
    allowed.

    Bytes are charged once their number is known, and a client in debt waits. Client None has no limit of its own.
    """

    def __init__(self, *, bytes_per_second: int, max_clients: int) -> None:
        own = bytes_per_second / CLIENTS_SHARE
        self._of_all = Buckets(rate=bytes_per_second, burst=bytes_per_second * BURST_SECONDS, max_clients=1)
        self.own = Buckets(rate=own, burst=own * BURST_SECONDS, max_clients=max_clients)
        """The bucket of each client."""

    def wait_seconds(self, client: Hashable | None, now: float) -> float:
        """Return the seconds until more bytes may be worked on."""
        waiting = self._of_all.wait_seconds(None, now)
        return waiting if client is None else max(waiting, self.own.wait_seconds(client, now))

    def charge(self, client: Hashable | None, now: float, size_bytes: int) -> None:
        """Charge `size_bytes` of finished work."""
        self._of_all.charge(None, now, size_bytes)
        if client is not None:
            self.own.charge(client, now, size_bytes)
