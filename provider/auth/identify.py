"""From a signed request to a proven address: signature first, then its nonce is used up."""

from collections.abc import Callable, Sequence

from provider.auth.nonce_store import NonceStore
from provider.auth.signature import verify
from provider.errors import NonceRefused, SignatureInvalid


def _unobserved(result: str) -> None:
    pass


class Identifier:
    """Proves who is asking. `observe` is called with `accepted` or `refused` for each nonce presented."""

    def __init__(self, nonces: NonceStore, *, observe: Callable[[str], None] = _unobserved) -> None:
        self._nonces = nonces
        self._observe = observe

    async def identify(self, *, address: str, messages: Sequence[str], signature: str, nonce: str) -> str:
        """The checksummed address, once it has signed one of `messages` with a nonce greater than any before.

        Directly after the signature and before any other work, so that a replay costs nothing further; a nonce
        stays used even when the request is refused later. Raises SignatureInvalid, NonceRefused, StoreError.
        """
        if not verify(messages, signature, address):
            raise SignatureInvalid
        try:
            await self._nonces.use(address, nonce)
        except NonceRefused:
            self._observe("refused")
            raise
        self._observe("accepted")
        return address
