"""`GET nonce`: the last nonce an address used."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from provider.auth.nonce_store import NonceStore
from provider.handlers.base import Endpoint
from provider.handlers.params import NonceRequest

# The answer for an address without a nonce: ocean.js needs a truthy value. Asking stores nothing.
FIRST_NONCE = "1"


@dataclass(frozen=True, slots=True)
class ToldNonces:
    """The nonces that clients ask for, and count on from.

    `clock`: unix milliseconds, where another server takes nonces of the same clients; None where there is none. Both
    servers accept what is later than the last call to either.
    """

    store: NonceStore
    clock: Callable[[], int] | None = None

    async def last(self, address: str) -> str:
        """The greatest nonce of an address (checksummed), or the time if it is greater. Raises StoreError."""
        last = await self.store.last(address) or FIRST_NONCE
        now = 0 if self.clock is None else self.clock()
        return last if Decimal(last) >= now else str(now)


class NonceEndpoint(Endpoint[ToldNonces]):
    """Reads the nonce store; never writes."""

    endpoint = "nonce"

    async def handle(self) -> None:
        """Reply with the nonce as text (wire: a JSON string, so that no digit is lost)."""
        request = NonceRequest.parse(self.arguments())
        self.reply_json({"nonce": await self.deps.last(request.address)})
