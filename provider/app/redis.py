"""Build what hosts share from settings: nonces and revocations, facts, leases of streams, limits of clients."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from provider.admission.buckets import Buckets
from provider.admission.shared_pace import SharedPace
from provider.auth.redis_store import RedisNonceStore
from provider.cache import CacheLimits, FactCache
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import StoreError
from provider.errors.start import StartError
from provider.observability.metrics import Metrics
from provider.orders.shared_facts import (
    pack_flag,
    pack_receipt,
    pack_state,
    unpack_flag,
    unpack_receipt,
    unpack_state,
)
from provider.redis.client import RedisClient
from provider.redis.fact_cache import Codec, FactStore, SharedFactCache
from provider.redis.leases import StreamLeases
from provider.redis.rate_limits import SharedLimits

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
    """The parts over one Redis; `store` and `leases` are None where the settings ask for none."""

    nonces: RedisNonceStore
    store: FactStore | None
    leases: StreamLeases | None
    limits: SharedLimits
    client: RedisClient

    async def close(self) -> None:
        """Close all of it."""
        await self.limits.close()
        if self.leases is not None:
            await self.leases.close()
        if self.store is not None:
            await self.store.close()
        else:
            await self.client.close()
        await self.nonces.close()

    def share(self, name: str, buckets: Buckets) -> None:
        """Let clients have these buckets once over all workers and hosts; `name` alike on all."""
        self.limits.add(SharedPace(name, buckets, wake=self.limits.wake))


class Caches:
    """Makes caches of facts that metrics count, and that hosts share where this is worth it."""

    def __init__(self, metrics: Metrics, shared: Shared | None) -> None:
        self._metrics = metrics
        self._store = None if shared is None else shared.store

    def make(
        self, name: str, limits: CacheLimits, *, size_of: Callable[[Any], int] = lambda _: 0
    ) -> FactCache[Any, Any]:
        """The cache of this name; `size_of` is what its limit in bytes counts."""
        sizes = _Sizes(
            name=name,
            max_entries=limits.max_entries,
            ttl_seconds=limits.ttl_seconds,
            max_bytes=limits.max_bytes,
            size_of=size_of,
        )
        if self._store is None or name not in CODECS:
            cache: FactCache[Any, Any] = FactCache(**sizes)
        else:
            cache = SharedFactCache(self._store, CODECS[name], **sizes)
        self._metrics.caches.follow(name, cache)
        return cache


class _Sizes(TypedDict):
    name: str
    max_entries: int
    ttl_seconds: float
    max_bytes: int | None
    size_of: Callable[[Any], int]


async def build_shared(settings: Settings, metrics: Metrics) -> Shared | None:
    """Connect, and look whether this Redis may hold nonces. Raises StartError where it must not.

    A Redis that is away does not end the start: what needs no nonce is served, and `/readyz` tells.
    """
    if settings.redis is None:
        return None
    redis, streams = settings.redis, settings.limits.max_streams_per_consumer
    nonce_client = RedisClient(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, metrics=metrics.redis
    )
    # Facts, leases and limits have connections of their own: they need not wait for disks and replicas.
    client = RedisClient(
        redis.target,
        timeout_seconds=min(redis.timeout_seconds, FACTS_TIMEOUT_SECONDS),
        logs_outages=False,
        metrics=metrics.redis,
    )
    metrics.redis.up.follow(lambda: nonce_client.is_up and client.is_up)
    shared = Shared(
        nonces=RedisNonceStore(nonce_client, prefix=redis.prefix),
        store=FactStore(client, prefix=redis.prefix, secret=_secret(settings, "facts")) if redis.shares_facts else None,
        leases=StreamLeases(client, prefix=redis.prefix, max_streams_per_consumer=streams) if streams else None,
        limits=SharedLimits(client, prefix=redis.prefix, secret=_secret(settings, "clients")),
        client=client,
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


def _secret(settings: Settings, purpose: Literal["facts", "clients"]) -> bytes:
    """What only our hosts know: writing to Redis must not make up orders, nor reading it tell addresses of clients."""
    key = Account.from_hex(settings.security.universal_key)
    return key.derive_key(f"ocean provider / shared {purpose} / v1".encode())
