"""NonceStore for any number of hosts: one Redis, reached through `redis/client.py`.

One step of Redis decides a nonce (`redis_scripts.py`). Nonces never expire; a revocation does, some time after its
token. All keys of one address have one hash tag, so that they live together in a cluster.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_store import nonce_refused, revocation_key
from provider.auth.nonce_window import has_window, is_large, kind_of, oldest_order
from provider.auth.redis_epoch import Epoch
from provider.auth.redis_scripts import USE
from provider.auth.signed_text import OpenText
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, StoreError
from provider.redis.client import RedisClient
from provider.redis.health import HealthReport, check_health
from provider.redis.pipeline import Question

log = logging.getLogger("provider.auth")

# Hosts' clocks differ; a revocation is kept this much longer than the token lives.
_REVOCATION_GRACE_SECONDS = 3600
# Redis counts milliseconds in 64 bits.
_LATEST_EXPIRY = 2**52
# How long the server may have been made unfit before we notice.
SURVEY_SECONDS = 5.0


class RedisNonceStore:
    """A NonceStore over `client`, which it closes. `prefix` begins all of its keys.

    While Redis is away every call raises StoreError, at once or after the client's time limit. A use that ends so may
    have taken effect: the nonce is refused then when it is sent again. While Redis is unfit to hold nonces, and once
    when it was emptied, a use raises StoreError too. `clock` gives unix seconds.
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
        """Why this Redis must not hold nonces, as the last look at it found."""

    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        """See NonceStore."""
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
            raise StoreError(detail="Redis: an answer that is not ours")
        raise nonce_refused(given=nonce, stored=reply[1:].decode("ascii", "replace"))

    async def last(self, address: str) -> str | None:
        """See NonceStore; None as well for what is not an address."""
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
            # Written by version 3.0. The first use sets it apart, as `nonce_rule.imported` does.
            return str(int(self._clock() * 1000))
        return text or large

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
            await self._client.ask(Question(key, ("SET", key, str(expires_at), "EX", seconds), "revocation"))

    async def restore(self, token_id: str) -> None:
        """See NonceStore."""
        key = self._revocation(revocation_key(token_id))
        await self._client.ask(Question(key, ("DEL", key), "revocation"))

    async def revoked_until(self, token_id: str) -> int | None:
        """See NonceStore; 1 for a revocation of version 3.0, which did not store its end."""
        key = self._revocation(revocation_key(token_id))
        reply = await self._client.ask(Question(key, ("GET", key), "revocation", writes=False))
        return int(reply) if isinstance(reply, bytes) else None

    async def check(self) -> None:
        """See NonceStore; refuses as well a Redis that would forget nonces when its memory is full."""
        key = f"{self._prefix}:check"
        await self._client.ask(Question(key, ("SET", key, "1"), "check"))
        if self.unfit or self._is_survey_due():
            await self._survey()
        if self.unfit:
            raise StoreError(detail=f"Redis: {self.unfit}")
        await self._find_epoch()

    async def close(self) -> None:
        """See NonceStore."""
        if self._surveyor is not None:
            await asyncio.wait([self._surveyor])
        await self._client.close()

    def _revocation(self, row_key: str) -> str:
        return f"{self._prefix}:{{{row_key}}}:revoked"

    @property
    def _epoch_key(self) -> str:
        return f"{self._prefix}:epoch"

    def _look_again(self) -> None:
        """Check the servers beside the uses, if that was long ago."""
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
            # Uses fail by themselves where the server is away; INFO may just not be allowed.
            log.debug("%s", error.detail)
        finally:
            self._surveyed_at = time.monotonic()
            self._surveyor = None

    async def _survey(self) -> None:
        """What the servers say about themselves, and whether they forgot something since the last time."""
        before, self._found = self._found, await check_health(self._client)
        self._surveyed_at = time.monotonic()
        found = self._found
        if found.fatal and found.fatal != self.unfit:
            log.error("Redis: %s; nonces are refused until then", found.fatal)
        self.unfit = found.fatal
        for warning in found.warnings:
            if before is None or warning not in before.warnings:
                log.warning("Redis: %s", warning)
        if before is not None and found.has_lost_keys_since(before):
            known = self._epoch
            if known is None or (await self._find_epoch()).name == known.name:
                await self._begin_again("it dropped keys")

    async def _find_epoch(self) -> Epoch:
        """The epoch of the store. One that this process does not know means that nonces may be lost."""
        async with self._finding:
            found = Epoch.parse(await self._ask_epoch("GET", self._epoch_key))
            known = self._epoch
            if known is not None and (found is None or (found.name != known.name and not found.began_at)):
                # A process that started over the emptied store could not know that it was one.
                return await self._begin_again("it was emptied")
            if found is None:
                log.warning("Redis holds no nonces of this Provider: a new store begins there")
                await self._ask_epoch("SET", self._epoch_key, Epoch.begin().text, "NX")
                found = Epoch.parse(await self._ask_epoch("GET", self._epoch_key)) or Epoch.begin()
            self._epoch = found
            return found

    async def _begin_again(self, why: str) -> Epoch:
        log.error("Redis: %s, so that nonces may be lost: unknown addresses must use nonces above the time of now", why)
        self._epoch = Epoch.begin(self._clock())
        await self._ask_epoch("SET", self._epoch_key, self._epoch.text)
        return self._epoch

    async def _ask_epoch(self, *command: str) -> object:
        question = Question(self._epoch_key, command, "check", writes=command[0] == "SET")
        return await self._client.ask(question)
