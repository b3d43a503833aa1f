"""Builds what hosts share in Redis: nonces and revocations, cached facts, leases of streams, limits of clients."""

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
from provider.quotas.redis_store import RedisQuotaStore
from provider.redis.client import RedisClient
from provider.redis.fact_cache import Codec, FactStore, SharedFactCache
from provider.redis.leases import StreamLeases
from provider.redis.rate_limits import SharedLimits

log = logging.getLogger("provider.server")

# If Redis takes longer than this, a node gives the fact sooner.
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
    """The parts that use one Redis. `store`, `leases` and `quotas` are None if the settings do not ask for them."""

    nonces: RedisNonceStore
    store: FactStore | None
    leases: StreamLeases | None
    limits: SharedLimits
    quotas: RedisQuotaStore | None
    client: RedisClient

    async def close(self) -> None:
        """Close all parts."""
        await self.limits.close()
        if self.leases is not None:
            await self.leases.close()
        if self.store is not None:
            await self.store.close()
        else:
            await self.client.close()
        await self.nonces.close()

    def share(self, name: str, buckets: Buckets) -> None:
        """Share these buckets of clients with all workers and hosts. `name`: the same on all of them."""
        self.limits.add(SharedPace(name, buckets, wake=self.limits.wake))


class Caches:
    """Creates caches of facts. Metrics count them, and hosts share those where sharing pays."""

    def __init__(self, metrics: Metrics, shared: Shared | None) -> None:
        self._metrics = metrics
        self._store = None if shared is None else shared.store

    def make(
        self, name: str, limits: CacheLimits, *, size_of: Callable[[Any], int] = lambda _: 0
    ) -> FactCache[Any, Any]:
        """Return the cache with this name. `size_of`: returns the bytes of a value, for the limit of the cache."""
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
    """Connect, and check that this Redis may hold nonces.

    An unreachable Redis does not stop the start: requests without a nonce are served, and `/readyz` reports it. Raises
    StartError if this Redis must not hold nonces.
    """
    if settings.redis is None:
        return None
    redis, streams = settings.redis, settings.limits.max_streams_per_consumer
    nonce_client = RedisClient(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, metrics=metrics.redis
    )
    # Facts, leases and limits use connections of their own, so that they do not wait for disks and replicas.
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
        # As durable as nonces.
        quotas=RedisQuotaStore(nonce_client, prefix=redis.prefix) if settings.quotas.is_on else None,
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
    """Return a secret that only our hosts know.

    Without it, writing to Redis cannot forge orders, and reading it does not reveal addresses of clients.
    """
    key = Account.from_hex(settings.security.universal_key)
    return key.derive_key(f"ocean provider / shared {purpose} / v1".encode())
