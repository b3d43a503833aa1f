"""`GET initialize`: everything a consumer needs to order a service: the datatoken and a signed provider fee."""

import time
from dataclasses import dataclass

from provider.assets.access import check_state
from provider.assets.catalog import Catalog
from provider.assets.consumer_parameters import check_parameters
from provider.assets.ddo import Asset, Service
from provider.auth.nonce_store import NonceStore
from provider.chain.networks import Network
from provider.errors import FileUnavailable, OrderError, ServiceTypeRefused, StoreError, named_network
from provider.files.opener import FileListOpener, file_of
from provider.files.origins import FileOrigins
from provider.files.userdata import Userdata
from provider.handlers.base import Endpoint
from provider.handlers.downloads.file_params import read_userdata
from provider.handlers.params import InitializeRequest
from provider.orders.check import check_order, parse_tx_id
from provider.orders.fees import quote_fee
from provider.orders.lookup import OrderLookup
from provider.policy.gate import Gate
from provider.upstream.charges import charged_to, first_request_paid


@dataclass(frozen=True, slots=True)
class InitializeDeps:
    """The parts, in the order in which they are used."""

    catalog: Catalog
    lookup: OrderLookup
    gate: Gate
    files: FileListOpener
    origins: FileOrigins
    nonces: NonceStore


class InitializeEndpoint(Endpoint[InitializeDeps]):
    """Replies with the valid order if there is one, else with a quote of the fee."""

    endpoint = "initialize"

    async def handle(self) -> None:
        """The steps of `provider-api.md` section 5.5."""
        request = InitializeRequest.parse(self.arguments())
        await self.deps.gate.ask_role("initialize", request.consumer, request.did, request.service_id)
        asset, network = await self.deps.catalog.find(request.did)
        with named_network(network.name):
            check_state(await self.deps.lookup.nft_state(network, asset.data_nft))
            service = asset.service(request.service_id)
            await self.deps.gate.admit(network, asset, service, request.consumer, action=None)
            if service.type == "compute":
                raise ServiceTypeRefused("Use the initializeCompute endpoint to initialize compute jobs.")
            userdata = read_userdata(request.userdata)
            if userdata.values:
                # Markets ask for a quote before their users fill in the form.
                check_parameters(service.consumer_parameters, userdata.values, field="userdata")
            order_tx = await self._valid_order(network, asset, service, request)
            if order_tx is not None:
                self.reply_json({"validOrder": order_tx})
                return
            if request.file_index is not None:
                await self._check_file(network, asset, service, userdata, request.file_index)
        fee = quote_fee(
            network.account,
            token=network.fee_token,
            amount=0,
            valid_until=0,
            datatoken=service.datatoken,
            service_id=service.id,
            environment=None,
            now=time.time(),
        )
        nonce = await self._last_nonce(request.consumer)
        self.reply_json({"datatoken": service.datatoken, "nonce": nonce, "providerFee": fee})

    async def _last_nonce(self, consumer: str) -> str | None:
        """Return the last nonce. Clients ask `GET nonce` before they sign, so a quote does not need a working store."""
        try:
            return await self.deps.nonces.last(consumer)
        except StoreError:
            return None

    async def _valid_order(
        self, network: Network, asset: Asset, service: Service, request: InitializeRequest
    ) -> str | None:
        """Return the transaction of OrderStarted if the given order is valid. An invalid order is ignored (wire)."""
        if not request.order_tx_id:
            return None
        try:
            tx_id = parse_tx_id(request.order_tx_id)
            # Nobody has signed this request, so it must not make us wait for a transaction of its choice.
            _, facts = await self.deps.lookup.facts(
                network, data_nft=asset.data_nft, datatoken=service.datatoken, tx_id=tx_id, wait=False
            )
            order = check_order(
                facts,
                service,
                tx_id=tx_id,
                sender=request.consumer,
                provider=network.account.address,
                now=time.time(),
                tolerate_expired_fee=True,
            )
        except OrderError:
            return None
        return order.started_tx_id

    async def _check_file(
        self, network: Network, asset: Asset, service: Service, userdata: Userdata, file_index: int
    ) -> None:
        file = file_of(self.deps.files.open(network.account, asset, service).at(file_index), asset)
        with charged_to(self.ticket), first_request_paid():
            info = await self.deps.origins.inspect(file, userdata, chain_id=network.chain_id)
        if not info.valid:
            unavailable = FileUnavailable()
            if info.failure is not None:
                unavailable.retry_after_seconds = info.failure.retry_after_seconds
            raise unavailable
