"""`GET nonce`: the last nonce an address used."""

from provider.auth.nonce_store import NonceStore
from provider.handlers.base import Endpoint
from provider.handlers.params import NonceRequest

# What an address without a nonce gets: ocean.js needs a truthy answer. Asking stores nothing.
FIRST_NONCE = "1"


class NonceEndpoint(Endpoint[NonceStore]):
    """Reads the nonce store; never writes."""

    endpoint = "nonce"

    async def handle(self) -> None:
        """Reply with the nonce as text (wire: a JSON string, so that no digit is lost)."""
        request = NonceRequest.parse(self.arguments())
        last = await self.deps.last(request.address)
        self.reply_json({"nonce": last if last is not None else FIRST_NONCE})
