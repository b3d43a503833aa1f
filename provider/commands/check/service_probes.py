"""Probes the services that the Provider uses: metadata store, operator service, gateways, Redis."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import aiohttp

from provider.auth.redis_store import RedisNonceStore
from provider.commands.check.reach import Unreachable, get, host_of
from provider.commands.check.table import Finding, failed, passed, warned
from provider.config import Settings
from provider.errors import StoreError
from provider.redis.client import RedisClient
from provider.redis.config import RedisConfig
from provider.redis.health import check_health
from provider.redis.url import RedisTarget

# Not the hash of any data NFT, so a working store answers "not found".
_MADE_UP_DID = "did:op:" + "0" * 64


@dataclass(frozen=True, slots=True)
class _Need:
    """The finding if a service fails, and what to do if it is silent or reports an error."""

    problem: Callable[[str, str, str], Finding]
    if_silent: str
    if_broken: str


_FOR_SOME_ASSETS = _Need(
    warned,
    "is the URL right, and the service running and reachable? Until it answers, assets that need it fail",
    "the service reports an error: see its log",
)
_FOR_EVERY_CONSUMER = _Need(
    failed,
    "is the URL right, and the service running and reachable? Until it answers, consumers are refused with 503",
    "the service reports an error: see its log. Until it works, consumers are refused with 503",
)


def probe_services(settings: Settings, session: aiohttp.ClientSession) -> list[tuple[str, Awaitable[list[Finding]]]]:
    """Return the name and the check of each service that the settings name, Redis excepted."""
    access, metadata, upstream, proxies = settings.access, settings.metadata, settings.upstream, settings.proxies
    services: list[tuple[str, Awaitable[list[Finding]]]] = [
        (
            "metadata store",
            _metadata_store(
                session,
                metadata.aquarius_url,
                timeout_seconds=metadata.timeout_seconds,
                proxy=proxies.of(metadata.aquarius_url) if metadata.aquarius_url else None,
            ),
        )
    ]

    def add(what: str, variable: str, url: str | None, need: _Need, *, timeout_seconds: float, proxied: bool) -> None:
        if url:
            proxy = proxies.of(url) if proxied else None
            probe = _any_answer(session, what, variable, url, need, timeout_seconds=timeout_seconds, proxy=proxy)
            services.append((what, probe))

    some = partial(add, need=_FOR_SOME_ASSETS, timeout_seconds=upstream.first_byte_timeout_seconds)
    some("operator service", "OPERATOR_SERVICE_URL", settings.compute.operator_service_url, proxied=True)
    # Gateways are origins of files, which never use a proxy.
    for url in upstream.ipfs_gateways:
        some("IPFS gateway", "IPFS_GATEWAY", url, proxied=False)
    for url in upstream.arweave_gateways:
        some("Arweave gateway", "ARWEAVE_GATEWAY", url, proxied=False)
    every = partial(add, need=_FOR_EVERY_CONSUMER, timeout_seconds=access.timeout_seconds, proxied=True)
    every("RBAC server", "RBAC_SERVER_URL", access.rbac_url)
    every("policy server", "POLICY_SERVER_URL", access.policy_url)
    return services


async def _metadata_store(
    session: aiohttp.ClientSession, url: str | None, *, timeout_seconds: float, proxy: str | None
) -> list[Finding]:
    """Check that AQUARIUS_URL answers for a DID that does not exist."""
    if not url:
        return [passed("metadata store", "none: metadata is read from the chain")]
    what = f"metadata store ({host_of(url)})"
    path = f"{url.rstrip('/')}/api/aquarius/assets/ddo/{_MADE_UP_DID}"
    try:
        status, content_type = await get(session, path, timeout_seconds=timeout_seconds, proxy=proxy)
    except Unreachable as error:
        return [failed(what, str(error), "AQUARIUS_URL: is the URL right, and the store running and reachable?")]
    if status == 404 and "json" in content_type:
        return [passed(what, "answers, and rejects a made-up DID")]
    if status in (200, 404):
        return [warned(what, f"HTTP {status}, not the answer of a metadata store", "AQUARIUS_URL: is the path right?")]
    return [failed(what, f"HTTP {status}", "AQUARIUS_URL: is it the base URL of an Aquarius or ocean-node?")]


async def _any_answer(
    session: aiohttp.ClientSession,
    what: str,
    variable: str,
    url: str,
    need: _Need,
    *,
    timeout_seconds: float,
    proxy: str | None,
) -> list[Finding]:
    """Check that a service answers. Any answer will do, since most of the calls to it are POSTs."""
    what = f"{what} ({host_of(url)})"
    try:
        status, _ = await get(session, url, timeout_seconds=timeout_seconds, proxy=proxy)
    except Unreachable as error:
        return [need.problem(what, str(error), f"{variable}: {need.if_silent}")]
    if status >= 500:
        return [need.problem(what, f"HTTP {status}", f"{variable}: {need.if_broken}")]
    return [passed(what, f"answers (HTTP {status})")]


_VARIABLE = "REDIS_CONNECTION"


async def probe_redis(redis: RedisConfig) -> list[Finding]:
    """Check the connection to Redis, and every reason why it could lose nonces. Writes one key of its own."""
    what = f"Redis ({_hosts(redis.target)})"
    client = RedisClient(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, logs_outages=False
    )
    store = RedisNonceStore(client, prefix=redis.prefix)
    try:
        found = await check_health(client)
        await store.check()
    except StoreError as error:
        detail = (error.detail or "").removeprefix("Redis: ")
        return [failed(what, detail, f"{_VARIABLE}: requests with a nonce are refused with 503 until it works")]
    finally:
        await store.close()
    servers = f"{found.servers} servers" if found.servers > 1 else f"version {found.version}"
    detail = (
        f"answers and can be written, {servers}, {found.replicas} {'replica' if found.replicas == 1 else 'replicas'}"
    )
    advice = "docs/scaling.md explains what may happen"
    return [passed(what, detail), *(warned("Redis", warning, advice) for warning in found.warnings)]


def _hosts(target: RedisTarget) -> str:
    """Return hosts and ports; the rest of the URL may hold passwords."""
    return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in target.nodes)
