"""Issues, checks and revokes auth tokens: joins `token.py` with the clock and the store of revocations."""

import time
from collections.abc import Callable

from provider.auth.nonce_store import NonceStore
from provider.auth.token import AuthToken, capped_expiry, create_token, decode_token, token_id
from provider.errors import TokenExpired, TokenRevoked

# No token has expired at this time.
_ANY_TIME = float("-inf")


class Tokens:
    """All tokens of this Provider. `key`: the result of `token_key`. `clock` returns unix seconds.

    The caller has already checked a signature: a token alone neither creates nor revokes a token.
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
        """Return a token for the address `claimed` (as sent).

        `requested_at`: the wanted expiry in unix seconds; None for the longest lifetime. The same address and expiry
        give the identical token. If that token was revoked, it becomes valid again. Raises StoreError.
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
        """Check a token that `address` presents. Raises TokenRefused, TokenExpired, TokenRevoked, StoreError."""
        known = decode_token(self._key, token, address=address, now=self._clock())
        if await self._revocations.revoked_until(known.token_id) is not None:
            raise TokenRevoked
        return known

    async def revoke(self, token: str, address: str) -> None:
        """Revoke a valid token of `address`. Raises as `check`.

        An expired token is recorded as revoked too, before TokenExpired is raised: our clock may be ahead and be set
        back later. For the same reason each revocation is kept for twice the maximum lifetime.
        """
        known = decode_token(self._key, token, address=address, now=_ANY_TIME)
        now = self._clock()
        has_expired = known.expires_at <= now
        if not has_expired and await self._revocations.revoked_until(known.token_id) is not None:
            raise TokenRevoked
        await self._revocations.revoke(known.token_id, int(now) + 2 * self._max_lifetime_seconds)
        if has_expired:
            raise TokenExpired
