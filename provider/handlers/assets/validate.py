"""`POST /api/aquarius/assets/ddo/validate`: is the DDO well formed, and which hash belongs to it on chain?"""

from dataclasses import dataclass

from provider.assets.shape import faults_of
from provider.auth import messages
from provider.auth.identify import Identifier
from provider.chain.networks import Networks
from provider.crypto.accounts import Account
from provider.crypto.signature import prefixed_digest
from provider.errors import ValidationFailed
from provider.handlers.assets.params import ValidateRequest
from provider.handlers.base import Endpoint
from provider.handlers.body import SHORT_BODY_BYTES, joined
from provider.handlers.identity.token_params import NamedChain
from provider.handlers.json_body import JsonShape
from provider.handlers.request_data import parse_chain_id
from provider.policy.publishers import Publishers


@dataclass(frozen=True, slots=True)
class ValidateDeps:
    """The parts in the order they are used."""

    identifier: Identifier
    networks: Networks
    publishers: Publishers


class ValidateEndpoint(Endpoint[ValidateDeps]):
    """Answers with the hash of the document, and a proof that the contract of the data NFT takes.

    The proof says that this Provider found the document well formed. It gives no right to anything.
    """

    endpoint = "validateDdo"
    max_body_bytes = None

    async def handle(self) -> None:
        """Reply with hash and proof.

        Raises ValidationFailed with what is wrong with the DDO, and PublisherNotAuthorized.
        """
        request = await self._request()
        chain_id = _chain_id(request)
        publisher = None
        if request.signed is not None:
            publisher = await self.deps.identifier.identify(
                request.signed,
                messages.validate_ddo(publisher=request.signed.claimed, nonce=request.signed.nonce),
                client=self.client,
                chain=NamedChain(chain_id),
            )
        faults = faults_of(request.ddo)
        if faults:
            raise ValidationFailed(faults)
        network = self.deps.networks.get(-1 if chain_id is None else chain_id)
        await self.deps.publishers.check_address(publisher, network.chain_id)
        self.reply_json(_proof(network.account, request.document_hash))

    async def _request(self) -> ValidateRequest:
        """The parsed body, whatever its type: ocean.js 3 calls it `application/octet-stream`. Off the loop if large."""
        shape, headers, size_bytes = self._shape, self.request.headers, self.held_bytes
        body = joined(self.take_body())
        if size_bytes <= SHORT_BODY_BYTES:
            shape = JsonShape.of(body) if shape is None else shape
            self.hold(size_bytes + shape.parsed_bytes)
            return ValidateRequest.parse(body, shape, headers)
        if shape is None:
            shape = await self.off_loop(JsonShape.of, body)
        self.hold(size_bytes + shape.parsed_bytes)
        return await self.off_loop(ValidateRequest.parse, body, shape, headers)


def _chain_id(request: ValidateRequest) -> int | None:
    subject = request.ddo.get("credentialSubject")
    body = subject if isinstance(subject, dict) else request.ddo
    return parse_chain_id(body.get("chainId"))


def _proof(account: Account, document_hash: bytes) -> dict[str, object]:
    """As Aquarius answers: one signature over the hash itself, in lists (EIP-191, `ERC721Template._checkMetaData…`)."""
    signature = account.sign_digest(prefixed_digest(document_hash))
    return {
        "hash": "0x" + document_hash.hex(),
        "publicKey": account.address,
        "r": ["0x" + signature[:32].hex()],
        "s": ["0x" + signature[32:64].hex()],
        "v": signature[64] + 27,
    }
