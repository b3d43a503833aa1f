"""NonceStore for any number of hosts: one Redis, reached through `redis/client.py`.

One step of Redis decides a nonce (`redis_scripts.py`). Nonces never expire; a revocation does, some time after its
token. All keys of one address have one hash tag, so that they live together in a cluster.
"""

import time
from collections.abc import Callable

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable, sortable_value
from provider.auth.nonce_store import nonce_refused, revocation_key
from provider.auth.nonce_window import oldest_accepted
from provider.auth.redis_scripts import USE
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, StoreError
from provider.redis.client import RedisClient
from provider.redis.health import check_health
from provider.redis.pipeline import Question

# Hosts' clocks differ; a revocation is kept this much longer than the token lives.
_REVOCATION_GRACE_SECONDS = 3600
# Redis counts milliseconds in 64 bits.
_LATEST_EXPIRY = 2**52


class RedisNonceStore:
    """A NonceStore over `client`, which it closes. `prefix` begins all of its keys.

    While Redis is away every call raises StoreError, at once or after the client's time limit. A use that ends so may
    have taken effect: the nonce is refused then when it is sent again. `clock` gives unix seconds.
    """

    def __init__(self, client: RedisClient, *, prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._is_checked = False
        self.unfit = ""
        """Why this Redis must not hold nonces, once `check` has found that out."""

    async def use(self, address: str, nonce: str, *, window_seconds: int = 0) -> None:
        """See NonceStore."""
        key = to_checksum_address(address)
        if parse_nonce(nonce) is None:
            raise NonceRefused
        oldest = ""
        if window_seconds and (value := oldest_accepted(nonce, window_seconds)) is not None:
            oldest = sortable_value(value)
        keys = (f"{self._prefix}:{{{key}}}:nonce", f"{self._prefix}:{{{key}}}:window")
        arguments = (sortable(nonce), nonce, 1 if window_seconds else 0, oldest)
        reply = await self._client.ask(USE.call(keys, arguments))
        if reply == b"+":
            return
        if not isinstance(reply, bytes) or not reply.startswith(b"-"):
            raise StoreError(detail="Redis: an answer that is not ours")
        raise nonce_refused(given=nonce, stored=reply[1:].decode("ascii", "replace"))

    async def last(self, address: str) -> str | None:
        """See NonceStore; None as well for what is not an address."""
        if not is_address(address):
            return None
        key = f"{self._prefix}:{{{to_checksum_address(address)}}}:nonce"
        reply = await self._client.ask(Question(key, ("HGET", key, "text"), "nonce", writes=False))
        return reply.decode("ascii", "replace") if isinstance(reply, bytes) else None

    async def revoke(self, token_id: str, expires_at: int) -> None:
        """See NonceStore."""
        await self.take_over_revocation(revocation_key(token_id), expires_at)

    async def take_over_revocation(self, row_key: str, expires_at: int) -> None:
        """A revocation from another store, by its `revocation_key`."""
        forgotten_at = min(expires_at + _REVOCATION_GRACE_SECONDS, _LATEST_EXPIRY)
        # Counted from our clock: EXAT would make it Redis's.
        seconds = forgotten_at - int(self._clock())
        if seconds > 0:
            key = self._revocation(row_key)
            await self._client.ask(Question(key, ("SET", key, "1", "EX", seconds), "revocation"))

    async def restore(self, token_id: str) -> None:
        """See NonceStore."""
        key = self._revocation(revocation_key(token_id))
        await self._client.ask(Question(key, ("DEL", key), "revocation"))

    async def is_revoked(self, token_id: str) -> bool:
        """See NonceStore."""
        key = self._revocation(revocation_key(token_id))
        return bool(await self._client.ask(Question(key, ("EXISTS", key), "revocation", writes=False)))

    async def check(self) -> None:
        """See NonceStore; refuses as well a Redis that would forget nonces when its memory is full."""
        key = f"{self._prefix}:check"
        await self._client.ask(Question(key, ("SET", key, "1"), "check"))
        if not self._is_checked:
            found = await check_health(self._client)
            self.unfit = found.fatal
            if self.unfit:
                raise StoreError(detail=f"Redis: {self.unfit}")
            found.log_warnings()
            self._is_checked = True

    async def close(self) -> None:
        """See NonceStore."""
        await self._client.close()

    def _revocation(self, row_key: str) -> str:
        return f"{self._prefix}:{{{row_key}}}:revoked"
