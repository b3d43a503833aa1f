"""`GET download`: the bytes of a bought file."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from provider.auth import messages
from provider.auth.identify import Identifier
from provider.books.record import claimed
from provider.errors import named_network
from provider.files.file_object import FileObject
from provider.files.origins import FileOpener
from provider.files.resolve import asked_of
from provider.handlers.downloads.purchase import Claim, Purchase, Purchases
from provider.handlers.downloads.streaming import StreamDeps, StreamingEndpoint, file_name_of
from provider.handlers.identity.token_params import presented_token
from provider.handlers.params import DownloadRequest
from provider.proofs.proof import Proof
from provider.proofs.queue import ProofQueue
from provider.streaming.relay import Relayed
from provider.upstream.resume import Rest
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish, read_wish


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDeps(StreamDeps):
    """What it takes to send a bought file."""

    purchases: Purchases
    origins: FileOpener


F = TypeVar("F", bound=FileDeps)


class FileEndpoint(StreamingEndpoint[F]):
    """Base of endpoints that send a bought file."""

    async def send(
        self, purchase: Purchase, file: FileObject, consumer: str, *, name: str | None = None
    ) -> Relayed | None:
        """Stream the file as the request's range and conditions say; None when no body was due.

        Args:
            purchase: what was bought.
            file: one of its files.
            consumer: whose stream it is, for the limits.
            name: name of the file; None for the origin's.

        Raises:
            ProviderError: as `opened` and `stream`.
        """
        chain_id, userdata = purchase.network.chain_id, purchase.userdata

        def ask(wish: Wish) -> Awaitable[Source]:
            return self.deps.origins.open(file, userdata, wish, chain_id=chain_id)

        def reopen(rest: Rest) -> Awaitable[Source]:
            return self.deps.origins.open(file, userdata, NO_WISH, chain_id=chain_id, rest=rest)

        with self.deps.limits.admitted(consumer) as slot:
            if self.deps.limits.leases is not None:
                await self.deps.limits.count_everywhere(slot)
            source, answer = await self.opened(ask, asked_of(file, read_wish(self.request.headers)), file.type)
            return await self.stream(
                source,
                answer,
                slot,
                name=name or file_name_of(source.headers, file.url_path),
                reopen=reopen,
                service_type=purchase.service.type,
                file_type=file.type,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDeps(FileDeps):
    """`proofs`: None where none are sent."""

    identifier: Identifier
    proofs: ProofQueue | None


class DownloadEndpoint(FileEndpoint[DownloadDeps]):
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
            chain=self.deps.purchases.catalog.chain_of(request.did),
            enter=self.enter,
        )
        use = self.use = claimed(
            consumer,
            did=request.did,
            service_id=request.service_id,
            order_tx_id=request.order_tx_id,
            file_index=request.file_index,
        )
        purchase = await self.deps.purchases.check(
            Claim(
                request.did, request.service_id, request.order_tx_id, request.userdata, arguments.get("policyServer")
            ),
            consumer,
            enter=self.enter,
        )
        self.facts["chain_id"] = purchase.network.chain_id
        use.buy(purchase.network.chain_id, purchase.order.tx_id)
        with named_network(purchase.network.name):
            file = self.deps.purchases.file(purchase, request.file_index)
            relayed = await self.send(purchase, file, consumer)
        if self.deps.proofs is not None and relayed is not None:
            self._prove(self.deps.proofs, request, purchase, relayed)

    def _prove(self, proofs: ProofQueue, request: DownloadRequest, purchase: Purchase, relayed: Relayed) -> None:
        """Attest what the consumer got, also of a stream that was cut; of one that never began there is nothing."""
        signed = request.signed
        if relayed.bytes_sent or relayed.outcome == "complete":
            proofs.submit(
                Proof(
                    chain_id=purchase.network.chain_id,
                    datatoken=purchase.service.datatoken,
                    document_id=request.did,
                    service_id=purchase.service.id,
                    file_index=int(request.file_index),
                    downloaded_bytes=relayed.bytes_sent,
                    order_tx_id=request.order_tx_id,
                    consumer=signed.address,
                    messages=messages.download(document_id=request.did, consumer=signed.claimed, nonce=signed.nonce),
                    consumer_signature=signed.signature,
                )
            )
