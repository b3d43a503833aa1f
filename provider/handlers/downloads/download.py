"""`GET download`: the bytes of a bought file."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass

from provider.assets.access import check_state
from provider.assets.catalog import Catalog
from provider.assets.consumer_parameters import check_parameters
from provider.assets.ddo import Asset, Service
from provider.auth import messages
from provider.auth.identify import Identifier
from provider.chain.networks import Network
from provider.compute.environments import Environments
from provider.errors import OrderError, ServiceTypeRefused, named_network
from provider.files.opener import FileListOpener
from provider.files.origins import FileOrigins
from provider.files.resolve import asked_of
from provider.handlers.downloads.file_params import read_userdata
from provider.handlers.downloads.streaming import StreamDeps, StreamingEndpoint
from provider.handlers.identity.token_params import presented_token
from provider.handlers.params import DownloadRequest
from provider.orders.check import Order, check_order, parse_tx_id
from provider.orders.lookup import OrderLookup
from provider.policy.gate import DOWNLOAD, Gate
from provider.proofs.proof import Proof
from provider.proofs.queue import ProofQueue
from provider.streaming.relay import Relayed
from provider.upstream.resume import Rest
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish, read_wish


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDeps(StreamDeps):
    """The parts in the order they are used."""

    identifier: Identifier
    catalog: Catalog
    lookup: OrderLookup
    gate: Gate
    environments: Environments
    files: FileListOpener
    origins: FileOrigins
    proofs: ProofQueue | None


class DownloadEndpoint(StreamingEndpoint[DownloadDeps]):
    """Who asks, for which asset, with which order; then the origin's bytes pass through."""

    endpoint = "download"

    async def handle(self) -> None:
        """The steps of `provider-api.md` section 5.6; the nonce is spent before any chain or upstream work."""
        arguments = self.arguments()
        request = DownloadRequest.parse(arguments, presented_token(arguments, self.request.headers))
        signed = request.signed
        self.enter("signature")
        consumer = await self.deps.identifier.identify(
            signed,
            messages.download(document_id=request.did, consumer=signed.claimed, nonce=signed.nonce),
            client=self.client,
            chain=self.deps.catalog.chain_of(request.did),
            enter=self.enter,
        )
        self.enter("asset")
        await self.deps.gate.ask_role("access", consumer, request.did, request.service_id)
        asset, network = await self.deps.catalog.find(request.did)
        self.facts["chain_id"] = network.chain_id
        with named_network(network.name):
            service = asset.service(request.service_id)
            self.enter("order")
            await self._check_order(
                network, asset, service, consumer, request.order_tx_id, policy_data=arguments.get("policyServer")
            )
            self.enter("files")
            userdata = read_userdata(request.userdata)
            check_parameters(service.consumer_parameters, userdata.values or None, field="userdata")
            file = self.deps.files.file(network.account, asset, service, request.file_index)
            asked = asked_of(file, read_wish(self.request.headers))

            def ask(wish: Wish) -> Awaitable[Source]:
                return self.deps.origins.open(file, userdata, wish, chain_id=network.chain_id)

            def reopen(rest: Rest) -> Awaitable[Source]:
                return self.deps.origins.open(file, userdata, NO_WISH, chain_id=network.chain_id, rest=rest)

            with self.deps.limits.admitted(consumer) as slot:
                if self.deps.limits.leases is not None:
                    await self.deps.limits.count_everywhere(slot)
                source, answer = await self.opened(ask, asked, file.type)
                relayed = await self.stream(
                    source,
                    answer,
                    slot,
                    url_path=file.url_path,
                    reopen=reopen,
                    service_type=service.type,
                    file_type=file.type,
                )
            if self.deps.proofs is not None and relayed is not None:
                self._prove(self.deps.proofs, request, network, service, relayed)

    def _prove(
        self, proofs: ProofQueue, request: DownloadRequest, network: Network, service: Service, relayed: Relayed
    ) -> None:
        """Attest what the consumer got, also of a stream that was cut; of one that never began there is nothing."""
        signed = request.signed
        if relayed.bytes_sent or relayed.outcome == "complete":
            proofs.submit(
                Proof(
                    chain_id=network.chain_id,
                    datatoken=service.datatoken,
                    document_id=request.did,
                    service_id=service.id,
                    file_index=int(request.file_index),
                    downloaded_bytes=relayed.bytes_sent,
                    order_tx_id=request.order_tx_id,
                    consumer=signed.address,
                    messages=messages.download(document_id=request.did, consumer=signed.claimed, nonce=signed.nonce),
                    consumer_signature=signed.signature,
                )
            )

    async def _check_order(
        self,
        network: Network,
        asset: Asset,
        service: Service,
        consumer: str,
        order_tx_id: str,
        *,
        policy_data: object,
    ) -> Order:
        tx_id = parse_tx_id(order_tx_id)
        state, facts = await self.deps.lookup.facts(
            network, data_nft=asset.data_nft, datatoken=service.datatoken, tx_id=tx_id
        )
        check_state(state)
        await self.deps.gate.admit(network, asset, service, consumer, action=DOWNLOAD, policy_data=policy_data)
        # The files of other services are for the jobs of an environment.
        if service.type != "access" and not await self.deps.environments.is_consumer(consumer):
            raise ServiceTypeRefused(f"Service with index={service.id} is not an access service.")
        try:
            return check_order(
                facts,
                service,
                tx_id=tx_id,
                sender=consumer,
                provider=network.account.address,
                now=time.time(),
            )
        except OrderError as error:
            raise error.of_transaction(tx_id, network.name) from error
