"""Builds the compute room from settings. Without an operator service, only quotes are answered, and all are refused."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provider.app.redis import Caches
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
from provider.outgoing.sessions import Outgoing
from provider.upstream.http_origin import HttpOrigin

if TYPE_CHECKING:
    from provider.app.foundation import Foundation

# The decimals of a token and the key of a Provider do not change, but an operator may correct a mistake.
_FACTS = CacheLimits(1000, 600.0)
# How long a host that gave no usable answer is not asked for another quote.
_SILENT = CacheLimits(1000, 30.0)
# A published file may change at its origin. Its checksum must fail soon after that.
_CHECKSUMS = CacheLimits(1000, 10.0)
# The address of an environment rarely changes. A pod of a new one is recognised after this time at the latest.
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

    quoting: Quoting
    jobs: Jobs | None


def build_environments(
    settings: Settings, networks: Networks, caches: Caches, outgoing: Outgoing
) -> tuple[Operator | None, Environments]:
    """Build the operator service and its environments; the service is None if not configured.

    Call it in a running loop.
    """
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


def build_compute(settings: Settings, base: "Foundation") -> Compute:
    """Build the compute room."""
    purchases, caches = base.purchases, base.caches
    resolver = ItemResolver(
        catalog=purchases.catalog,
        lookup=purchases.lookup,
        gate=purchases.gate,
        files=purchases.files,
        checksums=AlgorithmChecksums(
            files=purchases.files,
            origins=base.origins.files,
            max_file_bytes=settings.upstream.max_checksum_bytes,
            cache=caches.make("algorithm_checksum", _CHECKSUMS),
        ),
    )
    order_loader = OrderLoader(lookup=purchases.lookup, decimals=caches.make("decimals", _FACTS))
    environments, operator = purchases.environments, base.operator
    quoting = Quoting(
        resolver=resolver,
        order_loader=order_loader,
        environments=environments,
        others=OtherProviders(
            origin=base.origins.http,
            own_urls=_own_urls(settings),
            roots=caches.make("provider_roots", _FACTS),
            silent=caches.make("provider_silent", _SILENT),
            timeout_seconds=settings.upstream.first_byte_timeout_seconds,
        ),
    )
    if operator is None:
        return Compute(quoting, None)
    starting = _starting(settings, resolver, order_loader, environments, operator)
    return Compute(quoting, Jobs(operator, starting, JobResults(operator, result_origin(settings, base.outgoing))))


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
    """Return the origin of results. It follows no redirects: this server's operator named only this one address."""
    config = replace(
        settings.upstream,
        allow_non_public_ip=True,
        attempts=1,
        first_byte_timeout_seconds=settings.compute.timeout_seconds,
        # If a kept connection turns out to be closed, its request is sent again. These requests are signed with a nonce
        # that is valid once, and the service may have read it. So each request has a connection of its own.
        max_idle_connections=0,
    )
    return HttpOrigin(config, max_redirects=0, patient=False, resolver=outgoing.names)


def _own_urls(settings: Settings) -> frozenset[str]:
    """Return the URLs that are certainly ours: the public URL, and the listener as this machine sees it."""
    listener, scheme = settings.server.listener, "https" if settings.server.tls else "http"
    urls = {f"{scheme}://{listener.host}:{listener.port}"}
    return frozenset(urls | ({settings.compute.public_url} if settings.compute.public_url else set()))
