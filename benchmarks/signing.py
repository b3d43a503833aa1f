"""Signs download requests before a run, so that the cost of signing is not measured.

It signs as clients do (`provider-api.md` section 4.1), but with the curve library directly, about 50 µs per request.
"""

import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from coincurve import PrivateKey

from provider.crypto.keccak import keccak256, to_checksum_address
from provider.crypto.signature import message_digest


@dataclass(slots=True)
class Signer:
    """One consumer: a checksummed address and rising nonces of the size that wallets use (milliseconds)."""

    key: PrivateKey = field(default_factory=lambda: PrivateKey(secrets.token_bytes(32)), repr=False)
    nonce: int = field(default_factory=lambda: int(time.time() * 1000))
    address: str = field(init=False)

    def __post_init__(self) -> None:
        point = self.key.public_key.format(compressed=False)[1:]
        self.address = to_checksum_address("0x" + keccak256(point)[12:].hex())

    def sign(self, document_id: str) -> tuple[str, str]:
        """Return a new nonce and the signature (0x hex, v is 27 or 28) of a download of the document."""
        nonce = self._next_nonce()
        return nonce, self._signature(document_id + nonce)

    def sign_command(self, command: str) -> tuple[str, str]:
        """The same for a message that names its command."""
        nonce = self._next_nonce()
        return nonce, self._signature(self.address + nonce + command)

    def _next_nonce(self) -> str:
        self.nonce += 1
        return str(self.nonce)

    def _signature(self, text: str) -> str:
        signature = self.key.sign_recoverable(message_digest(text), hasher=None)
        return f"0x{signature[:64].hex()}{signature[64] + 27:02x}"


@dataclass(frozen=True, slots=True)
class Purchase:
    """A consumer, and the order that pays for every file of one service."""

    signer: Signer
    did: str
    service_id: str
    order_tx: str

    def target(self, file_index: int) -> str:
        """Return the request target of one download. It is valid once, and targets must be used in order."""
        nonce, signature = self.signer.sign(self.did)
        parameters = {
            "documentId": self.did,
            "serviceId": self.service_id,
            "transferTxId": self.order_tx,
            "fileIndex": file_index,
            "consumerAddress": self.signer.address,
            "nonce": nonce,
            "signature": signature,
        }
        return f"/api/services/download?{urlencode(parameters)}"

    def links_request(self) -> dict[str, object]:
        """Return the fields of a request for links to all files. It is valid once."""
        nonce, signature = self.signer.sign_command("createLinks")
        return {
            "documentId": self.did,
            "serviceId": self.service_id,
            "transferTxId": self.order_tx,
            "consumerAddress": self.signer.address,
            "nonce": nonce,
            "signature": signature,
        }


def get_request(port: int, target: str, byte_range: tuple[int, int] | None = None) -> bytes:
    """Return the bytes of a GET. `byte_range`: start and end, the end exclusive."""
    fields = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "User-Agent: provider-benchmarks", "Accept: */*"]
    if byte_range is not None:
        fields.append(f"Range: bytes={byte_range[0]}-{byte_range[1] - 1}")
    return ("\r\n".join(fields) + "\r\n\r\n").encode("ascii")


def post_request(port: int, target: str, content_type: str, body: bytes) -> bytes:
    """Return the bytes of a POST."""
    fields = [
        f"POST {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: provider-benchmarks",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(fields) + "\r\n\r\n").encode("ascii") + body
