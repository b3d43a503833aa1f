"""Build what hosts share from settings: nonces and revocations, facts, leases of streams. None without Redis."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider.auth.redis_store import RedisNonceStore
from provider.cache import FactCache
from provider.chain.accounts import Account
from provider.errors import StoreError
from provider.orders.shared_facts import (
    pack_flag,
    pack_receipt,
    pack_state,
    unpack_flag,
    unpack_receipt,
    unpack_state,
)
from provider.settings import Settings
from provider.shared.facts import Codec, FactShelf, SharedFactCache
from provider.shared.leases import StreamLeases
from provider.shared.link import RedisLink
from provider.start_error import StartError

log = logging.getLogger("provider.server")

# A fact that takes longer is quicker to get from a node.
FACTS_TIMEOUT_SECONDS = 0.25


def _name_of(key: tuple[object, ...]) -> str:
    return ":".join(map(str, key))


CODECS: dict[str, Codec[Any, Any]] = {
    "receipt": Codec(_name_of, pack_receipt, unpack_receipt),
    "nft_state": Codec(_name_of, pack_state, unpack_state),
    "datatoken": Codec(_name_of, pack_flag, unpack_flag),
    "factory_nft": Codec(_name_of, pack_flag, unpack_flag),
}


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts over one Redis; `shelf` and `leases` are None where the settings ask for none."""

    nonces: RedisNonceStore
    shelf: FactShelf | None
    leases: StreamLeases | None
    link: RedisLink

    async def close(self) -> None:
        """Close all of it."""
        if self.leases is not None:
            await self.leases.close()
        if self.shelf is not None:
            await self.shelf.close()
        else:
            await self.link.close()
        await self.nonces.close()

    def cache(self, name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
        """The cache of this name, shared where that is worth it."""
        if self.shelf is None or name not in CODECS:
            return FactCache(name=name, max_entries=max_entries, ttl_seconds=ttl_seconds)
        return SharedFactCache(self.shelf, CODECS[name], name=name, max_entries=max_entries, ttl_seconds=ttl_seconds)


async def build_shared(settings: Settings) -> Shared | None:
    """Connect, and look whether this Redis may hold nonces. Raises StartError where it must not.

    A Redis that is away does not end the start: what needs no nonce is served, and `/readyz` tells.
    """
    if settings.redis is None:
        return None
    redis, streams = settings.redis, settings.limits.max_streams_per_consumer
    nonce_link = RedisLink(redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas)
    # Facts and leases have connections of their own: they need not wait for disks and replicas.
    link = RedisLink(redis.target, timeout_seconds=min(redis.timeout_seconds, FACTS_TIMEOUT_SECONDS), tells=False)
    shared = Shared(
        nonces=RedisNonceStore(nonce_link, prefix=redis.prefix),
        shelf=FactShelf(link, prefix=redis.prefix, secret=_secret(settings)) if redis.shares_facts else None,
        leases=StreamLeases(link, prefix=redis.prefix, max_streams_per_consumer=streams) if streams else None,
        link=link,
    )
    try:
        await shared.nonces.check()
    except StoreError as error:
        if shared.nonces.unfit:
            await shared.close()
            raise StartError(f"REDIS_CONNECTION: {shared.nonces.unfit}") from error
        log.error("%s: requests with a nonce are refused until it works", error.detail)
    _tell_of_unread_nonces(Path(settings.storage_path))
    return shared


def _tell_of_unread_nonces(path: Path) -> None:
    if path.exists():
        log.warning(
            "STORAGE_PATH holds nonces from before REDIS_CONNECTION was set, and nothing reads them: "
            "`provider import-nonces --from FILE` takes them over; then remove the file"
        )


def _secret(settings: Settings) -> bytes:
    """Who can write to Redis must not be able to make up orders: facts are signed with what only our hosts know."""
    return Account.from_hex(settings.security.universal_key).derive_key(b"ocean provider / shared facts / v1")
