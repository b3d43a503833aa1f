"""NonceStore for any number of hosts: one Redis, reached through `redis/client.py`.

One script decides each use of a nonce (`redis_scripts.py`). Nonces never expire. A revocation expires some time after
its token. All keys of one address have the same hash tag, so that a cluster keeps them on one node.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_store import NonceStore, nonce_refused, revocation_key
from provider.auth.nonce_window import has_window, is_large, kind_of, oldest_order
from provider.auth.redis_epoch import Epoch
from provider.auth.redis_scripts import USE
from provider.auth.signed_text import OpenText
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, StoreError
from provider.override import override
from provider.redis.client import RedisClient
from provider.redis.health import HealthReport, check_health
from provider.redis.pipeline import Question

log = logging.getLogger("provider.auth")

# The clocks of hosts differ. A revocation is kept this much longer than its token is valid.
_REVOCATION_GRACE_SECONDS = 3600
# Redis counts milliseconds in 64 bits.
_LATEST_EXPIRY = 2**52
# Longest time until a change of the server's settings is noticed.
SURVEY_SECONDS = 5.0


class RedisNonceStore(NonceStore):
    """A NonceStore in Redis. It closes `client`. `prefix` begins all of its keys. `clock` returns unix seconds.

    While Redis is unreachable every call raises StoreError, at once or after the client's time limit. Such a use may
    have taken effect; the nonce is then refused when it is sent again. A use also raises StoreError while Redis is not
    configured to keep nonces safely, and once after Redis was emptied.
    """

    def __init__(self, client: RedisClient, *, prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._epoch: Epoch | None = None
        self._found: HealthReport | None = None
        self._surveyed_at = float("-inf")
        self._surveyor: asyncio.Task[None] | None = None
        self._finding = asyncio.Lock()
        self.unfit = ""
        """Why this Redis must not hold nonces, by the last health check; empty if it may."""

    @override
    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        key = to_checksum_address(address)
        if parse_nonce(nonce) is None:
            raise NonceRefused
        epoch = self._epoch
        self._look_again()
        if self.unfit:
            raise StoreError(detail=f"Redis: {self.unfit}")
        order = sortable(nonce)
        kind = kind_of(order)
        arguments = (
            epoch.text if epoch else "",
            order,
            nonce,
            oldest_order(nonce, kind) if has_window(kind) else "",
            *(("", "", "") if text is None else (text.digest, text.highest, int(text.may_begin))),
            int(unknown_past),
            epoch.least_order(kind) if epoch else "",
            int(self._clock() * 1000),
        )
        keys = [f"{self._prefix}:{{{key}}}:nonce", f"{self._prefix}:{{{key}}}:window"]
        if not self._client.is_cluster:
            keys.append(self._epoch_key)
        reply = await self._client.ask(USE.call(keys, arguments))
        if reply == b"+":
            return
        if reply == b"!":
            await self._find_epoch()
            raise StoreError(detail="Redis: it was emptied or replaced; this nonce was not used")
        if not isinstance(reply, bytes) or not reply.startswith(b"-"):
            raise StoreError(detail="Redis: unexpected reply of the nonce script")
        raise nonce_refused(given=nonce, stored=reply[1:].decode("ascii", "replace"))

    @override
    async def last(self, address: str) -> str | None:
        if not is_address(address):
            return None
        key = f"{self._prefix}:{{{to_checksum_address(address)}}}:nonce"
        command = ("HMGET", key, "text", "large_text", "order", "known")
        reply = await self._client.ask(Question(key, command, "nonce", writes=False))
        text, large, order, known = (part.decode("ascii", "replace") if part else "" for part in reply)
        if not text and not large:
            epoch = self._epoch or Epoch.parse(await self._ask_epoch("GET", self._epoch_key))
            return epoch.first_nonce if epoch else None
        if order != known and parse_nonce(text) is not None and is_large(kind_of(sortable(text))):
            # Version 3.0 wrote this large nonce. The first use moves it to `large`, as `nonce_rule.imported` does.
            return str(int(self._clock() * 1000))
        return text or large

    @override
    async def revoke(self, token_id: str, expires_at: int) -> None:
        await self.take_over_revocation(revocation_key(token_id), expires_at)

    async def take_over_revocation(self, row_key: str, expires_at: int) -> None:
        """Store a revocation that comes from another store. `row_key`: its `revocation_key`."""
        forgotten_at = min(expires_at + _REVOCATION_GRACE_SECONDS, _LATEST_EXPIRY)
        # By our clock: EXAT would use the clock of Redis.
        seconds = forgotten_at - int(self._clock())
        if seconds > 0:
            key = self._revocation(row_key)
            await self._client.ask(Question(key, ("SET", key, str(expires_at), "EX", seconds), "revocation"))

    @override
    async def restore(self, token_id: str) -> None:
        key = self._revocation(revocation_key(token_id))
        await self._client.ask(Question(key, ("DEL", key), "revocation"))

    @override
    async def revoked_until(self, token_id: str) -> int | None:
        key = self._revocation(revocation_key(token_id))
        reply = await self._client.ask(Question(key, ("GET", key), "revocation", writes=False))
        # Version 3.0 stored 1 in place of the expiry.
        return int(reply) if isinstance(reply, bytes) else None

    @override
    async def check(self) -> None:
        key = f"{self._prefix}:check"
        await self._client.ask(Question(key, ("SET", key, "1"), "check"))
        if self.unfit or self._is_survey_due():
            await self._survey()
        if self.unfit:
            raise StoreError(detail=f"Redis: {self.unfit}")
        await self._find_epoch()

    @override
    async def close(self) -> None:
        if self._surveyor is not None:
            await asyncio.wait([self._surveyor])
        await self._client.close()

    def _revocation(self, row_key: str) -> str:
        return f"{self._prefix}:{{{row_key}}}:revoked"

    @property
    def _epoch_key(self) -> str:
        return f"{self._prefix}:epoch"

    def _look_again(self) -> None:
        """Start a health check in the background, if the last one was long ago."""
        if self._surveyor is None and self._is_survey_due():
            self._surveyor = asyncio.get_running_loop().create_task(self._survey_beside())

    def _is_survey_due(self) -> bool:
        return time.monotonic() - self._surveyed_at > SURVEY_SECONDS

    async def _survey_beside(self) -> None:
        try:
            await self._survey()
            if self._epoch is None:
                await self._find_epoch()
        except StoreError as error:
            # If the server is unreachable, the uses fail themselves. Perhaps only INFO is not allowed.
            log.debug("%s", error.detail)
        finally:
            self._surveyed_at = time.monotonic()
            self._surveyor = None

    async def _survey(self) -> None:
        """Check the servers' settings, and whether they lost keys since the last check."""
        before, self._found = self._found, await check_health(self._client)
        self._surveyed_at = time.monotonic()
        found = self._found
        if found.fatal and found.fatal != self.unfit:
            log.error("Redis: %s; requests with a nonce are refused until this is corrected", found.fatal)
        self.unfit = found.fatal
        for warning in found.warnings:
            if before is None or warning not in before.warnings:
                log.warning("Redis: %s", warning)
        if before is not None and found.has_lost_keys_since(before):
            known = self._epoch
            if known is None or (await self._find_epoch()).name == known.name:
                await self._begin_again("it dropped keys")

    async def _find_epoch(self) -> Epoch:
        """Return the epoch of the store. If it is not the one that this process knows, nonces may be lost."""
        async with self._finding:
            found = Epoch.parse(await self._ask_epoch("GET", self._epoch_key))
            known = self._epoch
            if known is not None and (found is None or (found.name != known.name and not found.began_at)):
                # The store was emptied, and a process that started since could not know that.
                return await self._begin_again("it was emptied")
            if found is None:
                log.warning("Redis holds no nonces of this Provider; a new nonce store begins")
                await self._ask_epoch("SET", self._epoch_key, Epoch.begin().text, "NX")
                found = Epoch.parse(await self._ask_epoch("GET", self._epoch_key)) or Epoch.begin()
            self._epoch = found
            return found

    async def _begin_again(self, why: str) -> Epoch:
        log.error("Redis: %s, so nonces may be lost; unknown addresses must use nonces above the current time", why)
        self._epoch = Epoch.begin(self._clock())
        await self._ask_epoch("SET", self._epoch_key, self._epoch.text)
        return self._epoch

    async def _ask_epoch(self, *command: str) -> object:
        question = Question(self._epoch_key, command, "check", writes=command[0] == "SET")
        return await self._client.ask(question)
