"""Builds the compute room from settings. Without an operator service only quotes are answered, all refused."""

from dataclasses import dataclass, replace

from provider.app.redis import Caches
from provider.assets.catalog import Catalog
from provider.cache import CacheLimits
from provider.chain.networks import Networks
from provider.compute.checksums import AlgorithmChecksums
from provider.compute.environments import Environments
from provider.compute.operator import Operator
from provider.compute.orders import OrderLoader
from provider.compute.other_providers import OtherProviders
from provider.compute.quoting import Quoting
from provider.compute.resolver import ItemResolver
from provider.compute.results import JobResults
from provider.compute.starting import Starting
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.opener import FileListOpener
from provider.files.origins import FileOrigins
from provider.orders.lookup import OrderLookup
from provider.outgoing.sessions import Outgoing
from provider.policy.gate import Gate
from provider.upstream.http_source import HttpOrigin

# Tokens do not change their decimals, nor Providers their keys, but an operator may correct a mistake.
_FACTS = CacheLimits(1000, 600.0)
# How long a host that gave no usable answer is not asked again for a quote.
_SILENT = CacheLimits(1000, 30.0)
# A published file may change at its origin, and then its checksum has to fail soon.
_CHECKSUMS = CacheLimits(1000, 10.0)
# An environment's address changes about never; this is how late a pod of a new one is known.
_FOLLOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Jobs:
    """The parts that need an operator service."""

    operator: Operator
    starting: Starting
    results: JobResults


@dataclass(frozen=True, slots=True)
class Compute:
    """`jobs` is None without an operator service."""

    environments: Environments
    quoting: Quoting
    jobs: Jobs | None

    async def close(self) -> None:
        """Close every part."""
        await self.environments.close()
        if self.jobs is not None:
            self.jobs.results.origin.close()
            await self.jobs.operator.close()


@dataclass(frozen=True, slots=True)
class Foundation:
    """The rooms that compute stands on."""

    networks: Networks
    catalog: Catalog
    lookup: OrderLookup
    gate: Gate
    files: FileListOpener
    origin: HttpOrigin
    origins: FileOrigins


def build_environments(
    settings: Settings, networks: Networks, caches: Caches, outgoing: Outgoing
) -> tuple[Operator | None, Environments]:
    """The operator service, None where there is none, and its environments; inside the running loop."""
    operator = None
    if settings.compute.operator_service_url is not None:
        account = Account.from_hex(settings.security.universal_key)
        operator = Operator(
            settings.compute.operator_service_url,
            account=account,
            address=account.address,
            timeout_seconds=settings.compute.timeout_seconds,
            outgoing=outgoing,
        )
    lists = caches.make("environments", CacheLimits(_FACTS.max_entries, settings.compute.environments_seconds))
    environments = Environments(operator, networks, cache=lists)
    environments.follow(_FOLLOW_SECONDS)
    return operator, environments


def build_compute(
    settings: Settings,
    rooms: Foundation,
    operator: Operator | None,
    environments: Environments,
    caches: Caches,
    *,
    outgoing: Outgoing,
) -> Compute:
    """The room."""
    resolver = ItemResolver(
        catalog=rooms.catalog,
        lookup=rooms.lookup,
        gate=rooms.gate,
        files=rooms.files,
        checksums=AlgorithmChecksums(
            files=rooms.files,
            origins=rooms.origins,
            max_file_bytes=settings.upstream.max_checksum_bytes,
            cache=caches.make("algorithm_checksum", _CHECKSUMS),
        ),
    )
    order_loader = OrderLoader(lookup=rooms.lookup, decimals=caches.make("decimals", _FACTS))
    quoting = Quoting(
        resolver=resolver,
        order_loader=order_loader,
        environments=environments,
        others=OtherProviders(
            origin=rooms.origin,
            own_urls=_own_urls(settings),
            roots=caches.make("provider_roots", _FACTS),
            silent=caches.make("provider_silent", _SILENT),
            timeout_seconds=settings.upstream.first_byte_timeout_seconds,
        ),
    )
    jobs = None
    if operator is not None:
        starting = _starting(settings, resolver, order_loader, environments, operator)
        jobs = Jobs(operator, starting, JobResults(operator, result_origin(settings, outgoing)))
    return Compute(environments, quoting, jobs)


def _starting(
    settings: Settings,
    resolver: ItemResolver,
    order_loader: OrderLoader,
    environments: Environments,
    operator: Operator,
) -> Starting:
    return Starting(
        resolver=resolver,
        order_loader=order_loader,
        environments=environments,
        operator=operator,
        metadata_url=settings.compute.metadata_url or settings.metadata.aquarius_url or "",
    )


def result_origin(settings: Settings, outgoing: Outgoing) -> HttpOrigin:
    """What fetches results: the operator of this server named the one address; redirects could lead elsewhere."""
    config = replace(
        settings.upstream,
        allow_non_public_ip=True,
        attempts=1,
        first_byte_timeout_seconds=settings.compute.timeout_seconds,
        # A request that went to a kept connection is sent again when that turns out to be closed. These are signed with
        # a nonce that counts once, and the service may have read it: each has a connection of its own.
        max_idle_connections=0,
    )
    return HttpOrigin(config, max_redirects=0, patient=False, resolver=outgoing.names)


def _own_urls(settings: Settings) -> frozenset[str]:
    """What is surely ours: the public URL, and the listener as this machine sees it."""
    listener, scheme = settings.server.listener, "https" if settings.server.tls else "http"
    urls = {f"{scheme}://{listener.host}:{listener.port}"}
    return frozenset(urls | ({settings.compute.public_url} if settings.compute.public_url else set()))
