"""`GET nonce`: the last nonce an address used."""

from provider.auth.nonce_store import NonceStore
from provider.handlers.base import Endpoint, Frame
from provider.handlers.params import NonceRequest

# What an address without a nonce gets: ocean.js needs a truthy answer. Asking stores nothing.
FIRST_NONCE = "1"


class NonceEndpoint(Endpoint):
    """Reads the nonce store; never writes."""

    endpoint = "nonce"

    def initialize(self, *, frame: Frame, nonces: NonceStore) -> None:
        """`nonces` is the store."""
        super().initialize(frame=frame)
        self._nonces = nonces

    async def handle(self) -> None:
        """Reply with the nonce as text (wire: a JSON string, so that no digit is lost)."""
        request = NonceRequest.parse(self.arguments())
        last = await self._nonces.last(request.address)
        self.reply_json({"nonce": last if last is not None else FIRST_NONCE})
