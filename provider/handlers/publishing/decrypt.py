"""`POST decrypt`: decrypts a document (DDO) for clients that may read it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from provider.assets.catalog import Catalog
from provider.assets.did import did_for
from provider.auth import messages
from provider.auth.identify import Identifier
from provider.chain.networks import Network, Networks
from provider.crypto.accounts import Account
from provider.errors import (
    DecrypterNotAuthorized,
    DecryptError,
    DocumentStateRefused,
    OrderNotFound,
    UnsupportedChain,
)
from provider.files.document import COMPRESSED, is_credential, is_document_of, is_remote_stub
from provider.files.remote_documents import RemoteDocuments
from provider.handlers.base import PIECE_BYTES, Endpoint
from provider.handlers.body import SHORT_BODY_BYTES
from provider.handlers.identity.token_params import NamedChain, presented_token
from provider.handlers.params import DecryptRequest
from provider.handlers.request_data import CHAIN_ID
from provider.orders.check import parse_tx_id
from provider.orders.lookup import OrderLookup
from provider.policy.address_rule import AddressRule
from provider.wire.text import digits, hex_bytes

# Data NFT states (`provider-api.md` section 8.2): active, temporarily disabled and unlisted assets can be read.
READABLE_STATES = frozenset({0, 4, 5})
REFUSED_STATES = {1: "Asset end of life", 2: "Asset deprecated", 3: "Asset revoked"}

T = TypeVar("T")

BoundDocumentOpener = Callable[[Account, bytes, int, bytes | None, Callable[[bytes], bool]], bytes]
"""Opens bytes of which only those that the last argument takes may be an answer."""


@dataclass(frozen=True, slots=True)
class SealedDocument:
    """A document to open: its bytes, the first flags byte, and sha256 of the clear document.

    `document_hash`: None for the credential in a document that is stored elsewhere.
    """

    data: bytes
    flags: int
    document_hash: bytes | None


@dataclass(frozen=True, slots=True)
class DecryptDeps:
    """The parts of this endpoint."""

    networks: Networks
    identifier: Identifier
    lookup: OrderLookup
    decrypters: AddressRule
    open_document: BoundDocumentOpener
    remote: RemoteDocuments
    catalog: Catalog


class DecryptEndpoint(Endpoint[DecryptDeps]):
    """Replies 201 with the bytes of the document."""

    endpoint = "decrypt"
    max_body_bytes = None

    async def handle(self) -> None:
        """Decrypt the document in the steps of `provider-api.md` section 5.3."""
        arguments = await self.arguments_of_document()
        request = DecryptRequest.parse(arguments, presented_token(arguments, self.request.headers))
        decrypter = await self._identified(request)
        network = self._network(request)
        if not await self.deps.decrypters.admits(decrypter, network.chain_id):
            raise DecrypterNotAuthorized
        sealed = await self._checked(network, request)
        is_answer = partial(_is_answer, request, network.chain_id, sealed)
        clear = await self._opened(network.account, sealed, is_answer)
        if is_remote_stub(clear):
            clear = await self._remote(clear, did_for(request.data_nft, network.chain_id))
        self.deps.catalog.document_opened(request.data_nft, network.chain_id)
        pieces = (clear[start : start + PIECE_BYTES] for start in range(0, len(clear), PIECE_BYTES))
        await self.reply_text(pieces, length_bytes=len(clear), status=201)

    async def _identified(self, request: DecryptRequest) -> str:
        signed = request.signed
        message = messages.decrypt(
            transaction_id=request.transaction_id,
            data_nft=request.data_nft_text,
            decrypter=signed.claimed,
            chain_id=request.chain_id_text,
            nonce=signed.nonce,
        )
        chain = NamedChain(request.chain_id)
        return await self.deps.identifier.identify(signed, message, client=self.client, chain=chain)

    async def _checked(self, network: Network, request: DecryptRequest) -> SealedDocument:
        """Return the sealed document of a data NFT that the factory knows and whose state allows to read it."""
        known, document = await asyncio.gather(
            self.deps.lookup.is_factory_nft(network, request.data_nft),
            self._sealed(network, request),
            return_exceptions=True,
        )
        if not _value(known):
            raise DecryptError("Asset not deployed by the data NFT factory.")
        sealed = _value(document)
        # Not earlier: until the factory confirms it, the address may be any contract that a stranger chose.
        _check_state(await self.deps.lookup.nft_state(network, request.data_nft))
        return sealed

    async def _opened(self, account: Account, sealed: SealedDocument, is_answer: Callable[[bytes], bool]) -> bytes:
        """Return the clear document. One that is large, or may become large, is opened off the loop."""
        arguments = (account, sealed.data, sealed.flags, sealed.document_hash, is_answer)
        if len(sealed.data) <= SHORT_BODY_BYTES and not sealed.flags & COMPRESSED:
            return self.deps.open_document(*arguments)
        clear = await self.off_loop(self.deps.open_document, *arguments)
        self.hold(self.held_bytes + len(clear))
        return clear

    async def _remote(self, stub: bytes, did: str) -> bytes:
        """The document that the stub refers to, as it is stored. As in ocean-node, the caller compares its hash."""
        self.enter("upstream")
        document = await self.deps.remote.fetch(stub, did=did)
        self.hold(self.held_bytes + len(document))
        return document

    def _network(self, request: DecryptRequest) -> Network:
        if request.chain_id is None:
            shown = request.chain_id_text if CHAIN_ID.fullmatch(request.chain_id_text) else ""
            raise UnsupportedChain(f"Unsupported chain ID {shown}")
        return self.deps.networks.get(request.chain_id)

    async def _sealed(self, network: Network, request: DecryptRequest) -> SealedDocument:
        if request.transaction_id:
            return await self._from_transaction(network, request)
        if len(request.encrypted_document) <= SHORT_BODY_BYTES:
            return _from_arguments(request)
        return await self.off_loop(_from_arguments, request)

    async def _from_transaction(self, network: Network, request: DecryptRequest) -> SealedDocument:
        try:
            receipt = await self.deps.lookup.receipt(network, parse_tx_id(request.transaction_id))
        except OrderNotFound as exc:
            raise DecryptError("Failed to process transaction id.") from exc
        # Only events of the named NFT count, because its state is the one that is checked [K2].
        events = [event for event in (receipt.metadata if receipt else ()) if event.emitter == request.data_nft]
        created = [event for event in events if event.kind == "created"]
        chosen = (created or events)[:1]
        if receipt is None or not receipt.succeeded or not chosen:
            raise DecryptError("Failed to process transaction id.")
        event = chosen[0]
        return SealedDocument(event.data, event.flags[0] if event.flags else 0, event.document_hash)


def _is_answer(request: DecryptRequest, chain_id: int, sealed: SealedDocument, clear: bytes) -> bool:
    """True if the document belongs to the NFT whose state was checked. For a stub, its own event proves that."""
    is_bound = is_document_of(clear, request.data_nft, chain_id)
    if sealed.document_hash is None:
        return is_bound and is_credential(clear)
    return is_bound or (bool(request.transaction_id) and is_remote_stub(clear))


def _value(outcome: T | BaseException) -> T:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _from_arguments(request: DecryptRequest) -> SealedDocument:
    data, document_hash = _unhex(request.encrypted_document), None
    has_hash = bool(request.document_hash)
    if has_hash:
        document_hash = _unhex(request.document_hash)
    flags = request.flags
    if isinstance(flags, str):
        flags = digits(flags, max_chars=3)
    if data is None or (has_hash and document_hash is None) or isinstance(flags, bool) or not isinstance(flags, int):
        raise DecryptError("Failed to convert input args to bytes.")
    if not 0 <= flags <= 255:
        raise DecryptError("Failed to convert input args to bytes.")
    return SealedDocument(data, flags, document_hash)


def _unhex(text: str) -> bytes | None:
    return hex_bytes(text[2:] if text[:2] in ("0x", "0X") else text)


def _check_state(state: int) -> None:
    if state in REFUSED_STATES:
        raise DocumentStateRefused(REFUSED_STATES[state])
    if state not in READABLE_STATES:
        raise DecryptError("Invalid MetadataState")
