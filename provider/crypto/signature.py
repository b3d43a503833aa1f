"""Messages to digests, digests and signatures to addresses (pure).

Every client calls `personal_sign` on the 32 raw bytes keccak256(message), not on the text (`provider-api.md` section
4.1). `auth/messages.py` defines the message for each endpoint.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coincurve import PublicKey

from provider.crypto.keccak import is_address, keccak256, to_checksum_address
from provider.wire.text import hex_bytes

if TYPE_CHECKING:
    from provider.crypto.accounts import Account

# EIP-191 version 0x45: the length of the signed data follows. It is 32 because that is keccak256(message).
_PERSONAL = b"\x19Ethereum Signed Message:\n"
_PREFIX = _PERSONAL + b"32"
_SIGNATURE_BYTES = 65
# A contract defines its own signatures: n times 65 bytes in a multisignature wallet, more with WebAuthn.
MAX_CONTRACT_SIGNATURE_BYTES = 4096


def prefixed_digest(inner: bytes) -> bytes:
    """The digest to sign for a 32-byte hash: keccak256 of the EIP-191 prefix and `inner`."""
    return keccak256(_PREFIX + inner)


def message_digest(message: str) -> bytes:
    """The 32-byte digest to sign for a text message.

    Any str is accepted. A lone surrogate, which no client can sign, gets an encoding of its own.
    """
    return prefixed_digest(keccak256(message.encode("utf-8", "surrogatepass")))


def parse_signature(text: str) -> bytes | None:
    """Parse 65 bytes `r || s || v` from hex text (`0x` optional). None for anything else."""
    digits = text.removeprefix("0x")
    return hex_bytes(digits) if len(digits) == 2 * _SIGNATURE_BYTES else None


def recover_address(digest: bytes, signature: bytes) -> str | None:
    """Checksummed address whose key signed `digest`; None if the signature belongs to no key.

    `v` may be 0/1 (ocean.py, Aquarius) or 27/28 (ethers). A high s is accepted, as in the contracts' `ecrecover`: the
    malleable twin of a signature carries the same nonce, so it cannot be used for a replay.
    """
    if len(signature) != _SIGNATURE_BYTES:
        return None
    v = signature[64]
    recovery_id = v - 27 if v in (27, 28) else v
    if recovery_id not in (0, 1):
        return None
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes((recovery_id,)), digest, hasher=None)
    except ValueError:
        return None
    return to_checksum_address("0x" + keccak256(key.format(compressed=False)[1:])[12:].hex())


def stripped_digest(message: str) -> bytes | None:
    """The digest that ocean.js 8 and 9 sign if keccak256(message) begins with a zero byte; None if it does not.

    They convert the hash with ethers' toBeArray, which drops leading zeros: one message in 256 is signed over fewer
    than 32 bytes. The prefix states that length, so the signature cannot be mistaken for any other.
    """
    inner = keccak256(message.encode("utf-8", "surrogatepass"))
    if inner[0]:
        return None
    stripped = inner.lstrip(b"\0")
    return keccak256(_PERSONAL + str(len(stripped)).encode() + stripped)


def text_digest(message: str) -> bytes:
    """The digest that wallets sign for the text itself (EIP-191) and not its hash. For contract accounts only."""
    data = message.encode("utf-8", "surrogatepass")
    return keccak256(_PERSONAL + str(len(data)).encode() + data)


def signed_candidate(candidates: Sequence[str], signature: bytes, address: str, *, first: int = 0) -> int | None:
    """Position of the candidate message that `address` (checksummed) signed; None if it signed none.

    Each candidate tried takes about 55 µs of CPU; `first` is tried before the others. ocean-node also accepts a
    signature over the hexadecimal text of the hash. It is not tried here: no client is known to make it, and it would
    double the cost of every wrong signature.
    """
    positions = range(len(candidates))
    if first in positions and recover_address(message_digest(candidates[first]), signature) == address:
        return first
    others = [position for position in positions if position != first]
    for position in others:
        if recover_address(message_digest(candidates[position]), signature) == address:
            return position
    for position in (first, *others) if first in positions else others:
        stripped = stripped_digest(candidates[position])
        if stripped is not None and recover_address(stripped, signature) == address:
            return position
    return None


def verify(candidates: Sequence[str], signature: str, claimed: str) -> bool:
    """True if the claimed address (any case) signed one of the candidate messages. Never raises."""
    parsed = parse_signature(signature)
    if parsed is None or not is_address(claimed):
        return False
    return signed_candidate(candidates, parsed, to_checksum_address(claimed)) is not None


def parse_contract_signature(text: str) -> bytes | None:
    """Parse a contract account's signature: 1 to 4096 bytes in hex (`0x` optional). None for anything else."""
    digits = text.removeprefix("0x")
    return hex_bytes(digits) if 0 < len(digits) <= 2 * MAX_CONTRACT_SIGNATURE_BYTES else None


def sign_message(signer: "Account", message: str) -> bytes:
    """Sign a text as clients do. Returns 65 bytes `r || s || v`, v is 0 or 1."""
    return signer.sign_digest(message_digest(message))
