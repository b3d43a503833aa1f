"""Issues, opens and revokes links: `token.py` with the clock, the limits and the store of revocations."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from provider.auth.nonce_store import NonceStore
from provider.auth.token import AuthToken
from provider.cache import FactCache
from provider.compute.results import JobResult
from provider.errors import LinkExpired, LinkRevoked
from provider.links.config import MAX_SECONDS, LinkConfig
from provider.links.token import Link, LinkSeal, OrderedFile

REVOCATIONS_SECONDS = 5.0
"""How long an answer about revocations is kept: another worker or host notices a revocation after this time."""
CLOCK_SECONDS = 3600
"""A revocation also ends links of a host whose clock is ahead by this much, or was and has been set back."""


class Links:
    """All links of this Provider.

    Args:
        seal: makes and opens tokens.
        store: remembers revocations.
        config: lifetimes.
        known: answers of the store by name: the time until which it keeps a revocation, 0 for none.
        clock: unix seconds.
    """

    def __init__(
        self,
        seal: LinkSeal,
        store: NonceStore,
        *,
        config: LinkConfig,
        known: FactCache[str, int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._seal = seal
        self._store = store
        self._config = config
        self._known = known
        self._clock = clock

    async def issue(
        self,
        target: OrderedFile | JobResult,
        consumer: str,
        *,
        seconds: int | None,
        ends_at: int | None,
        token: AuthToken | None,
        nonce: str,
        signature: str,
    ) -> Link:
        """A link that begins now.

        Args:
            target: what it opens.
            consumer: who made the request, checksummed.
            seconds: lifetime that the request names; None for the default.
            ends_at: end of the order in unix seconds; None if it has none.
            token: the AuthToken that made the request. The link does not outlive it.
            nonce: the nonce of the request.
            signature: the signature of the request, "" with a token.

        Raises:
            StoreError: revocations cannot be read.
        """
        lifetime = min(self._config.default_seconds if seconds is None else seconds, self._config.max_seconds)
        not_after = 0 if token is None else token.expires_at
        link = Link(
            target=target,
            consumer=consumer,
            issued_at=0,
            expires_at=0,
            lifetime_seconds=lifetime,
            not_after=not_after,
            token_id="" if token is None else token.token_id,
            nonce=nonce,
            signature=signature,
        )
        return await self._beginning(link, ends_at)

    async def renew(self, link: Link, *, ends_at: int | None) -> Link:
        """Issue the same link again, beginning now. `ends_at`: as in `issue`.

        Raises:
            LinkRevoked: it was revoked. The store itself is asked, not the cache. If this worker has not noticed a
                revocation yet, the renewed link would be newer than it, and would stay valid.
            StoreError: revocations cannot be read.
        """
        if link.issued_at <= _newest(await self._read(_names(link))):
            raise LinkRevoked
        return await self._beginning(link, ends_at)

    def seal(self, link: Link, name: str) -> str:
        """Return the token for a URL that ends with the file name `name`. Raises LinkTooLong."""
        return self._seal.seal(link, name)

    async def open(self, token: str, name: str) -> Link:
        """Return the link of a URL with this token and file name.

        Raises:
            LinkUnknown: not a link of ours.
            LinkExpired: its time is over.
            LinkRevoked: the consumer revoked it, or the AuthToken that made it.
            StoreError: revocations cannot be read.
        """
        link = self._seal.open(token, name)
        if link.expires_at <= self._clock():
            raise LinkExpired
        if link.issued_at <= _newest(await self._look_up(_names(link))):
            raise LinkRevoked
        if link.token_id and (await self._look_up([link.token_id]))[link.token_id]:
            raise LinkRevoked
        return link

    async def revoke(self, consumer: str, order_tx_id: str | None) -> None:
        """Revoke all links that `consumer` has made so far, or only those of one order. Raises StoreError."""
        name, last = _name(consumer, order_tx_id), _last_name(consumer)
        # Kept as long as any of these links may live. So the expiry also tells when they were revoked.
        until = int(self._clock()) + CLOCK_SECONDS + MAX_SECONDS
        # Links that were made after an earlier revocation begin one second after it.
        before = await self._store.revoked_until(last)
        if before is not None:
            until = max(until, before + 1)
        # First, so that no link is made which this revocation would end.
        await self._store.revoke(last, until)
        await self._store.revoke(name, until)
        self._known.put(name, until)

    async def _beginning(self, link: Link, ends_at: int | None) -> Link:
        """The link from now on. It begins after all revocations of its consumer. Raises StoreError."""
        now = int(self._clock())
        ends = [now + link.lifetime_seconds, *(end for end in (ends_at, link.not_after) if end)]
        revoked_at = _newest(await self._read([_last_name(link.consumer)]))
        return replace(link, issued_at=max(now, revoked_at + 1), expires_at=min(ends))

    async def _look_up(self, names: list[str]) -> Mapping[str, int]:
        return await self._known.get_many(names, self._read)

    async def _read(self, names: list[str]) -> Mapping[str, int]:
        found = await asyncio.gather(*map(self._store.revoked_until, names))
        return {name: until or 0 for name, until in zip(names, found, strict=True)}


def _newest(found: Mapping[str, int]) -> int:
    """Return when links with these names were last revoked; 0 or less if never."""
    return max(found.values()) - MAX_SECONDS


def _names(link: Link) -> list[str]:
    """Return the names under which this link may have been revoked."""
    names = [_name(link.consumer, None)]
    if isinstance(link.target, OrderedFile):
        names.append(_name(link.consumer, link.target.order_tx_id))
    return names


def _name(consumer: str, order_tx_id: str | None) -> str:
    """Return the store's name for all links of a consumer, or for those of one order."""
    return f"links of {consumer}" if order_tx_id is None else f"links of {consumer} by {order_tx_id}"


def _last_name(consumer: str) -> str:
    """Return the store's name for the last revocation of a consumer, of whatever links."""
    return f"last revocation of links of {consumer}"
