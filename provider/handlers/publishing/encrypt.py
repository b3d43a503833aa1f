"""`POST encrypt`: encrypts to this Provider's key, for everybody."""

from binascii import hexlify
from collections.abc import Iterator
from dataclasses import dataclass

from provider.chain.networks import Networks
from provider.crypto.ecies import encrypt
from provider.errors import EncryptError, RequestError, UnsupportedChain
from provider.files.file_list import check_length
from provider.handlers.base import PIECE_BYTES, Endpoint
from provider.handlers.body import SHORT_BODY_BYTES, joined
from provider.handlers.request_data import parse_chain_id, request_data
from provider.handlers.rules import wire_text
from provider.policy.gate import Gate
from provider.wire.text import ows


@dataclass(frozen=True, slots=True)
class EncryptDeps:
    """`networks` hold the keys. `gate` asks a policy server if one is configured."""

    networks: Networks
    gate: Gate


class EncryptEndpoint(Endpoint[EncryptDeps]):
    """Takes raw bytes and returns the ECIES blob as hex with `0x`."""

    endpoint = "encrypt"
    max_body_bytes = None

    async def handle(self) -> None:
        """Check in the order of `provider-api.md` section 5.2, then reply 201."""
        content_type = ows(self.request.headers.get("Content-Type", "").partition(";")[0]).lower()
        if content_type != "application/octet-stream":
            raise RequestError("Invalid request content type: should be application/octet-stream")
        arguments = request_data(self.request.query, "", b"")
        chain_text = arguments.get("chainId")
        if not chain_text:
            raise RequestError("Missing chainId query parameter.")
        chain_id = parse_chain_id(chain_text)
        try:
            network = self.deps.networks.get(chain_id if chain_id is not None else -1)
        except UnsupportedChain as exc:
            raise EncryptError from exc
        await self.deps.gate.admit_encryption(
            network, wire_text(arguments.get("consumerAddress")), policy_data=arguments.get("policyServer")
        )
        if self.ticket is not None:
            self.ticket.charge(self.held_bytes)
        blob = await self._encrypted(network.account.public_key)
        await self.reply_text(_hex_text(blob), length_bytes=2 + 2 * len(blob), status=201)

    async def _encrypted(self, public_key: bytes) -> bytes:
        """Return the blob, which replaces the body in memory. A large body is encrypted off the loop."""
        if self.held_bytes <= SHORT_BODY_BYTES:
            return _checked_and_encrypted(public_key, self.body)
        return await self.off_loop(_encrypt_pieces, public_key, self.take_body())


def _encrypt_pieces(public_key: bytes, pieces: list[bytearray]) -> bytes:
    return _checked_and_encrypted(public_key, joined(pieces))


def _checked_and_encrypted(public_key: bytes, plaintext: bytes | bytearray) -> bytes:
    check_length(plaintext)
    return encrypt(public_key, plaintext)


def _hex_text(blob: bytes) -> Iterator[bytes]:
    """Yield the blob as hex with `0x`, in pieces."""
    yield b"0x"
    for start in range(0, len(blob), PIECE_BYTES // 2):
        yield hexlify(blob[start : start + PIECE_BYTES // 2])
