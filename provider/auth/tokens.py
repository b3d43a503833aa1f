"""Issuing, checking and revoking AuthTokens: `token.py` with the clock and the store of revocations."""

import time
from collections.abc import Callable

from provider.auth.nonce_store import NonceStore
from provider.auth.token import AuthToken, capped_expiry, create_token, decode_token, token_id
from provider.errors import TokenExpired, TokenRevoked

# Every token was issued before it expired.
_ANY_TIME = float("-inf")


class Tokens:
    """All tokens of this Provider. `key` is `token_key`'s; `clock` gives unix seconds.

    Who may have or revoke a token is decided before: by a signature, never by a token.
    """

    def __init__(
        self,
        key: bytes,
        revocations: NonceStore,
        *,
        max_lifetime_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._revocations = revocations
        self._max_lifetime_seconds = max_lifetime_seconds
        self._clock = clock

    async def issue(self, claimed: str, requested_at: int | None) -> str:
        """Token of the address `claimed`, as sent; `requested_at`: its end in unix seconds, None for the longest.

        The same address and end give the identical token, and one that was revoked is good again. Raises StoreError.
        """
        now = self._clock()
        longest_at = int(now) + self._max_lifetime_seconds
        expires_at = capped_expiry(
            longest_at if requested_at is None else requested_at,
            now=now,
            max_lifetime_seconds=self._max_lifetime_seconds,
        )
        token = create_token(self._key, address=claimed, expires_at=expires_at)
        name = token_id(token)
        if await self._revocations.revoked_until(name) is not None:
            await self._revocations.restore(name)
        return token

    async def check(self, token: str, address: str) -> AuthToken:
        """The token of `address`. Raises TokenRefused, TokenExpired, TokenRevoked, StoreError."""
        known = decode_token(self._key, token, address=address, now=self._clock())
        if await self._revocations.revoked_until(known.token_id) is not None:
            raise TokenRevoked
        return known

    async def revoke(self, token: str, address: str) -> None:
        """End the token, which must be a good one of `address`. Raises as `check`.

        A genuine token that has expired is recorded all the same. Our clock may be ahead and be set back later, so how
        long a revocation is kept does not depend on the token's end either.
        """
        known = decode_token(self._key, token, address=address, now=_ANY_TIME)
        now = self._clock()
        has_expired = known.expires_at <= now
        if not has_expired and await self._revocations.revoked_until(known.token_id) is not None:
            raise TokenRevoked
        await self._revocations.revoke(known.token_id, int(now) + 2 * self._max_lifetime_seconds)
        if has_expired:
            raise TokenExpired
