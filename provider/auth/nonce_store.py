"""The contract of a nonce store: it keeps used nonces and revoked auth tokens, durably.

Implementations: `sqlite_store.py` (one host, any number of processes) and `redis_store.py` (any number of hosts).
"""

import hashlib
from typing import Protocol

from provider.auth.signed_text import OpenText
from provider.errors import NonceRefused


class NonceStore(Protocol):
    """Shared by all endpoints, workers and hosts. Every method raises StoreError if the store fails.

    Addresses are accepted in upper and lower case and mean the same row. Nonces are decimal texts (`nonce.py`). Token
    ids are those of `token.py`. Every later call sees the effect of a call that has returned. A cancelled call may
    still take effect, at any later time.
    """

    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        """Use up a nonce: one atomic compare-and-set, durable before it returns.

        `text`: the signed text, if it does not determine the nonce. `unknown_past`: it is unknown which lower nonces
        were used. Raises NonceRefused unless the rule of `nonce_rule.py` allows the nonce to this address, and
        ValueError if `address` is not an address.
        """
        ...

    async def last(self, address: str) -> str | None:
        """Return the greatest used nonce as it was sent; None if there is none. Never writes [K15].

        Also None if `address` is not an address.

        A large nonce, which is neither a counter nor a clock value, is returned only if the address used no other kind.
        """
        ...

    async def revoke(self, token_id: str, expires_at: int) -> None:
        """Remember a token as revoked, durably, at least until `expires_at` (unix seconds)."""
        ...

    async def restore(self, token_id: str) -> None:
        """Forget a revocation, durably."""
        ...

    async def revoked_until(self, token_id: str) -> int | None:
        """Return the `expires_at` of the last revocation; None if the token is not revoked or was restored since."""
        ...

    async def check(self) -> None:
        """Prove with a durable write that the store works, and that it will not forget nonces.

        Otherwise `detail` of the StoreError says why not.
        """
        ...

    async def close(self) -> None:
        """Finish all earlier calls, then close the store. Later calls raise StoreError."""
        ...


def nonce_refused(*, given: str, stored: str) -> NonceRefused:
    """Return the refusal: the documented text (wire: its comparison sign is the wrong way round) and a remedy."""
    return NonceRefused(
        f"Invalid signature expected nonce ({stored}) > current nonce ({given}). "
        "This link has already been used; sign again with a higher nonce."
    )


def revocation_key(token_id: str) -> str:
    """Return the key of a revoked token. Token ids are our own, but hashing makes any text a safe and short key."""
    return hashlib.sha256(token_id.encode("utf-8", "surrogatepass")).hexdigest()
