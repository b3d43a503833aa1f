"""The durable memory of authentication: nonces used and AuthTokens revoked.

What every store promises. Implementations: `sqlite_store.py` (one host, any number of processes) and
`redis_store.py` (any number of hosts).
"""

import hashlib
from typing import Protocol

from provider.auth.signed_text import OpenText
from provider.errors import NonceRefused


class NonceStore(Protocol):
    """Shared by all endpoints, workers and hosts. Every method raises StoreError when the store fails.

    Addresses are accepted in any case and mean the same row; nonces are decimal text (`nonce.py`), token ids
    are those of `token.py`. A call that is cancelled may still take effect, and what it does may be seen late;
    what has returned is seen by every later call.
    """

    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        """Use up a nonce: one atomic compare-and-set, durable before it returns.

        Raises NonceRefused unless the rule of `nonce_rule.py` allows `nonce` to this address. `text`: what was signed,
        where its bytes do not fix the nonce. `unknown_past`: nobody knows which nonces below this one were used.
        Raises ValueError when `address` is not an address.
        """
        ...

    async def last(self, address: str) -> str | None:
        """The greatest nonce used, as it was sent; None when there is none. Never writes [K15].

        A large nonce, which is neither counter nor clock value, is told only where the address used no other.
        """
        ...

    async def revoke(self, token_id: str, expires_at: int) -> None:
        """Remember a token as revoked, durably, at least until `expires_at` (unix seconds)."""
        ...

    async def restore(self, token_id: str) -> None:
        """Forget a revocation, durably."""
        ...

    async def revoked_until(self, token_id: str) -> int | None:
        """The `expires_at` of the last revocation; None if the token is not revoked, or was restored since."""
        ...

    async def check(self) -> None:
        """Prove with a durable write that the store works; StoreError tells in `detail` why it does not."""
        ...

    async def close(self) -> None:
        """Finish what was asked before, then let go of the store. Later calls raise StoreError."""
        ...


def nonce_refused(*, given: str, stored: str) -> NonceRefused:
    """Return the refusal: the documented text, whose comparison sign is the wrong way round (wire), and a remedy."""
    return NonceRefused(
        f"Invalid signature expected nonce ({stored}) > current nonce ({given}). "
        "This link has already been used; sign again with a higher nonce."
    )


def revocation_key(token_id: str) -> str:
    """What a revoked token is kept as: token ids are ours, but any text must be a safe and short key."""
    return hashlib.sha256(token_id.encode("utf-8", "surrogatepass")).hexdigest()
