"""Token buckets, one for each client, in bounded memory (pure).

Kept as one time for each client, the Generic Cell Rate Algorithm (ITU-T I.371 annex A): the same decisions as a bucket
that is filled at a rate and holds a burst, without anything to fill.
"""

from collections.abc import Callable, Hashable

CLIENTS_SHARE = 4
BURST_SECONDS = 10.0


class Buckets:
    """`rate` tokens a second for each client, `burst` of them at once. `now` is any clock that only rises (seconds).

    Of more than `max_clients` the one that was seen the longest ago is forgotten, which fills its bucket.
    """

    def __init__(self, *, rate: float, burst: float, max_clients: int) -> None:
        self._rate = rate
        self._token_seconds = 1 / rate
        self._tolerance_seconds = max(0.0, burst - 1) / rate
        self.burst_seconds = self._tolerance_seconds + self._token_seconds
        """How long an empty bucket takes to be full."""
        self.max_clients = max_clients
        self.charged: Callable[[Hashable, float, float], None] | None = None
        """Told of each client, the time, and the seconds that it takes to fill up again what was taken then."""
        # When each client's bucket will be full again, the longest unseen first.
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: Hashable, now: float) -> float:
        """Take one token: 0, or the seconds until there is one. Who is refused pays nothing."""
        full_at = self._full_at.pop(client, now)
        wait_seconds = full_at - now - self._tolerance_seconds
        if wait_seconds > 0:
            self._full_at[client] = full_at
            return wait_seconds
        self._keep(client, max(full_at, now) + self._token_seconds)
        if self.charged is not None:
            self.charged(client, now, self._token_seconds)
        return 0.0

    def wait_seconds(self, client: Hashable, now: float) -> float:
        """Seconds until there is a token; nothing is taken."""
        return max(0.0, self._full_at.get(client, now) - now - self._tolerance_seconds)

    def charge(self, client: Hashable, now: float, amount: float) -> None:
        """Take `amount` tokens for what is done already; the client then waits until they are paid."""
        cost_seconds = amount / self._rate
        self._keep(client, max(self._full_at.pop(client, now), now) + cost_seconds)
        if self.charged is not None:
            self.charged(client, now, cost_seconds)

    @property
    def token_seconds(self) -> float:
        """How long one token takes to come back."""
        return self._token_seconds

    def raise_to(self, client: Hashable, full_at: float) -> None:
        """Others have taken from this bucket as well: it is not full before this time."""
        held = self._full_at.get(client)
        if held is None or held < full_at:
            self._full_at.pop(client, None)
            self._keep(client, full_at)

    def _keep(self, client: Hashable, full_at: float) -> None:
        if len(self._full_at) >= self.max_clients:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[client] = full_at


class BytePace:
    """Bytes worked on, in all and of one client, which gets a quarter; `BURST_SECONDS` worth of them at once.

    They are charged once they are known: whoever owes waits. A client None is not limited by itself.
    """

    def __init__(self, *, bytes_per_second: int, max_clients: int) -> None:
        own = bytes_per_second / CLIENTS_SHARE
        self._of_all = Buckets(rate=bytes_per_second, burst=bytes_per_second * BURST_SECONDS, max_clients=1)
        self.own = Buckets(rate=own, burst=own * BURST_SECONDS, max_clients=max_clients)
        """Of each client."""

    def wait_seconds(self, client: Hashable | None, now: float) -> float:
        """Seconds until more may be worked on."""
        waiting = self._of_all.wait_seconds(None, now)
        return waiting if client is None else max(waiting, self.own.wait_seconds(client, now))

    def charge(self, client: Hashable | None, now: float, size_bytes: int) -> None:
        """So many were worked on."""
        self._of_all.charge(None, now, size_bytes)
        if client is not None:
            self.own.charge(client, now, size_bytes)
