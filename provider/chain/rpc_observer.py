"""What the client of a chain tells those who look on, about its exchanges and beside them."""

from collections.abc import Callable
from typing import Protocol

RpcObserver = Callable[[str, str, float], None]
"""Called once per exchange with one endpoint: method (`batch` for several calls), outcome, seconds.

Outcomes: `ok`, `fault` (some calls were not answered), `timeout`, `unreachable`, `http_status`, `malformed`,
`too_large`, `limited`, `wrong_chain`, and `cancelled`: another endpoint answered first, or nobody wanted the answer any
longer.
"""


class RpcEvents(Protocol):
    """Told of what a chain's client does beside its exchanges; endpoints by their position, from 0."""

    def calls(self, count: int) -> None:
        """So many calls leave in one exchange."""

    def put_aside(self, endpoint: int) -> None:
        """An endpoint failed; once per outage."""

    def faulted(self, endpoint: int) -> None:
        """An endpoint answered with a fault that is no answer of the chain."""

    def hedged(self) -> None:
        """An answer was slow, and the next endpoint is asked as well."""

    def head(self, block: int) -> None:
        """A node told the number of its latest block."""


class NoEvents:
    """Nobody looks on."""

    def calls(self, count: int) -> None:
        """Nothing."""

    def put_aside(self, endpoint: int) -> None:
        """Nothing."""

    def faulted(self, endpoint: int) -> None:
        """Nothing."""

    def hedged(self) -> None:
        """Nothing."""

    def head(self, block: int) -> None:
        """Nothing."""


def unobserved(method: str, outcome: str, seconds: float) -> None:
    """Nobody looks on."""
