"""Origins for commands of whoever has the settings: each source is open to them, as to one of its publishers."""

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
    """Who may sell files of a source here. Nobody may sell those of an unknown one."""
    listed = {source.name: next(iter(source.publishers)) for source in sources.all}
    return Seller(0, listed.get(name, ""))


@asynccontextmanager
async def own_origins(
    upstream: UpstreamConfig, sources: SourcesConfig, proxies: Proxies | None = None
) -> AsyncIterator[Origins]:
    """Origins without chains. A file of a source needs an `own_seller`."""

    async def owner_of(seller: Seller) -> str | None:
        return seller.data_nft or None

    origins = build_origins(upstream, sources, networks=Networks({}), owner_of=owner_of, outgoing=Outgoing(proxies))
    try:
        yield origins
    finally:
        origins.close()
        await origins.sources.close()
