"""`GET download`: the bytes of a bought file."""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from provider.auth import messages
from provider.auth.identify import Identifier
from provider.books.record import claimed
from provider.errors import named_network
from provider.files.file_object import FileObject
from provider.files.origins import FileOpener
from provider.files.resolve import asked_of
from provider.files.userdata import Userdata
from provider.handlers.downloads.purchase import Claim, Purchase, Purchases
from provider.handlers.downloads.quota_gate import QuotaGate, key_of_file
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
    """The parts that send a bought file."""

    purchases: Purchases
    origins: FileOpener


F = TypeVar("F", bound=FileDeps)


@dataclass(frozen=True, slots=True)
class _FileOrigin:
    """Where one bought file is asked for."""

    origins: FileOpener
    file: FileObject
    userdata: Userdata
    chain_id: int

    def ask(self, wish: Wish) -> Awaitable[Source]:
        return self.origins.open(self.file, self.userdata, wish, chain_id=self.chain_id)

    def reopen(self, rest: Rest) -> Awaitable[Source]:
        return self.origins.open(self.file, self.userdata, NO_WISH, chain_id=self.chain_id, rest=rest)


class FileEndpoint(StreamingEndpoint[F]):
    """Base of endpoints that send a bought file."""

    async def send(
        self, purchase: Purchase, file: FileObject, index: int, consumer: str, *, name: str | None = None
    ) -> Relayed | None:
        """Stream the file as the request's range and conditions say; None when no body was due.

        Args:
            purchase: what was bought.
            file: one of its files.
            index: of this file.
            consumer: whose stream it is, for the limits.
            name: name of the file; None for the origin's.

        Raises:
            ProviderError: as `opened` and `stream`.
        """
        of_file = _FileOrigin(self.deps.origins, file, purchase.userdata, purchase.network.chain_id)
        quotas = self.deps.quotas
        taker = None if quotas is None else await quotas.taker(purchase, consumer)
        with self.deps.limits.admitted(consumer) as slot:
            if self.deps.limits.leases is not None:
                await self.deps.limits.count_everywhere(slot)
            asked = asked_of(file, read_wish(self.request.headers))
            source, answer = await self.opened(of_file.ask, asked, file.type)
            name = name or file_name_of(source.headers, file.url_path)
            hold = None
            if quotas is not None and taker is not None:
                key = key_of_file(purchase.asset.did, purchase.service.id, index, purchase.userdata)
                body = quotas.body(key, answer, is_publishers_part=asked.of_file_object)
                hold = await self.hold_quota(quotas.quotas, taker, body, source, publisher=purchase.service.limits)
            return await self.stream(
                source,
                answer,
                slot,
                name=name,
                reopen=of_file.reopen,
                service_type=purchase.service.type,
                file_type=file.type,
                hold=hold,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDeps(FileDeps):
    """`proofs`: None if none are sent."""

    identifier: Identifier
    proofs: ProofQueue | None


class DownloadEndpoint(FileEndpoint[DownloadDeps]):
    """Checks who asks, for which asset and with which order, then passes the origin's bytes through."""

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
            before_nonce=None if self.deps.quotas is None else partial(self._check_quota, self.deps.quotas, request),
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
        # The stream may last for hours.
        del arguments
        self.facts["chain_id"] = purchase.network.chain_id
        use.buy(purchase.network.chain_id, purchase.order.tx_id)
        with named_network(purchase.network.name):
            file = self.deps.purchases.file(purchase, request.file_index)
            index = use.file_index = int(request.file_index)
            relayed = await self.send(purchase, file, index, consumer)
        if self.deps.proofs is not None and relayed is not None:
            self._prove(self.deps.proofs, request, purchase, relayed)

    async def _check_quota(self, quotas: QuotaGate, request: DownloadRequest) -> None:
        is_part = self.request.headers.get("Range") is not None
        await quotas.check_claim(request.signed.address, request, is_part=is_part)

    def _prove(self, proofs: ProofQueue, request: DownloadRequest, purchase: Purchase, relayed: Relayed) -> None:
        """Queue a proof of what the consumer got, even of a cut stream. A stream that never began gets no proof."""
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
