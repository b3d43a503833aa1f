"""`GET download`: the bytes of a bought file."""

import time
from urllib.parse import urlsplit

from provider.assets.access import check_access, check_state
from provider.assets.catalog import Catalog
from provider.assets.ddo import Asset, Service
from provider.auth import messages
from provider.auth.identify import Identifier
from provider.chain.networks import Network
from provider.errors import OrderError, ServiceTypeRefused, named_network
from provider.files.file_object import parse_file_object
from provider.files.opener import FileListOpener
from provider.files.resolve import resolve
from provider.handlers.base import Frame
from provider.handlers.params import DownloadRequest, parse_userdata
from provider.handlers.streaming import StreamingEndpoint
from provider.orders.check import Order, check_order, parse_tx_id
from provider.orders.lookup import OrderLookup
from provider.streaming.limits import StreamLimits
from provider.upstream.http_source import HttpOrigin


class DownloadEndpoint(StreamingEndpoint):
    """Who asks, for which asset, with which order; then the origin's bytes pass through."""

    endpoint = "download"

    def initialize(
        self,
        *,
        frame: Frame,
        identifier: Identifier,
        catalog: Catalog,
        lookup: OrderLookup,
        files: FileListOpener,
        origin: HttpOrigin,
        limits: StreamLimits,
        idle_timeout_seconds: float,
    ) -> None:
        """The parts in the order they are used; `idle_timeout_seconds` cuts a side that makes no progress."""
        super().initialize(frame=frame, idle_timeout_seconds=idle_timeout_seconds)
        self._identifier = identifier
        self._catalog = catalog
        self._lookup = lookup
        self._files = files
        self._origin = origin
        self._limits = limits

    async def handle(self) -> None:
        """The steps of `provider-api.md` section 5.6; the nonce is spent before any chain or upstream work."""
        request = DownloadRequest.parse(self.arguments())
        signed = request.signed
        consumer = await self._identifier.identify(
            address=signed.address,
            messages=messages.download(document_id=request.did, nonce=signed.nonce),
            signature=signed.signature,
            nonce=signed.nonce,
        )
        asset, network = await self._catalog.find(request.did)
        self.facts["chain_id"] = network.chain_id
        with named_network(network.name):
            service = asset.service(request.service_id)
            await self._check_order(network, asset, service, consumer, request.order_tx_id)
            raw_file = self._files.open(network.account, asset, service).at(request.file_index)
            file = parse_file_object(raw_file)
            wanted = resolve(file, parse_userdata(request.userdata), self.request.headers.get("Range"))
            with self._limits.admitted(consumer) as slot:
                source = await self._origin.open(wanted)
                await self.stream(source, slot, url_path=urlsplit(file.url).path)

    async def _check_order(
        self, network: Network, asset: Asset, service: Service, consumer: str, order_tx_id: str
    ) -> Order:
        tx_id = parse_tx_id(order_tx_id)
        state, facts = await self._lookup.facts(
            network, data_nft=asset.data_nft, datatoken=service.datatoken, tx_id=tx_id
        )
        check_state(state)
        check_access(asset, service, consumer)
        if service.type != "access":
            raise ServiceTypeRefused(f"Service with index={service.id} is not an access service.")
        try:
            return check_order(
                facts,
                tx_id=tx_id,
                datatoken=service.datatoken,
                service_id=service.id,
                service_index=service.index,
                timeout_seconds=service.timeout_seconds,
                sender=consumer,
                provider=network.account.address,
                now=time.time(),
            )
        except OrderError as error:
            raise error.of_transaction(tx_id, network.name) from error
