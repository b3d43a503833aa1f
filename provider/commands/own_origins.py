"""Origins for commands of the operator: all named sources are open to them, as to a publisher of each source."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provider.app.origins import Origins, build_origins
from provider.chain.networks import Networks
from provider.files.file_object import Seller
from provider.files.sources.config import SourcesConfig
from provider.outgoing.proxies import Proxies
from provider.outgoing.sessions import Outgoing
from provider.upstream.config import UpstreamConfig


def own_seller(sources: SourcesConfig, name: str) -> Seller:
    """Return who may sell files of a source here. Nobody may sell files of an unknown source."""
    listed = {source.name: next(iter(source.publishers)) for source in sources.all}
    return Seller(0, listed.get(name, ""), None)


@asynccontextmanager
async def own_origins(
    upstream: UpstreamConfig, sources: SourcesConfig, proxies: Proxies | None = None
) -> AsyncIterator[Origins]:
    """Make origins without chains. A file of a source needs an `own_seller`."""

    async def answerable_for(seller: Seller) -> frozenset[str]:
        return frozenset({seller.data_nft} - {""})

    origins = build_origins(
        upstream, sources, networks=Networks({}), answerable_for=answerable_for, outgoing=Outgoing(proxies)
    )
    try:
        yield origins
    finally:
        origins.close()
        await origins.sources.close()
