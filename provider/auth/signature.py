"""Messages to digests, digests and signatures to addresses (pure).

The construction of every client is `personal_sign` over the 32 raw bytes keccak256(message), not over the text
(`provider-api.md` section 4.1). Which message an endpoint signs is in `messages.py`.
"""

from collections.abc import Sequence
from typing import Protocol

from coincurve import PublicKey

from provider.keccak import is_address, keccak256, to_checksum_address

# EIP-191 version 0x45: the length is 32 because the signed data is keccak256(message).
_PREFIX = b"\x19Ethereum Signed Message:\n32"
_SIGNATURE_BYTES = 65


class Signer(Protocol):
    """What signing needs; `provider.chain.accounts.Account` is one."""

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes `r || s || v` over a 32-byte digest, v is 0 or 1."""
        ...


def prefixed_digest(inner: bytes) -> bytes:
    """The digest that is signed for a 32-byte hash: keccak256 of the EIP-191 prefix and `inner`."""
    return keccak256(_PREFIX + inner)


def message_digest(message: str) -> bytes:
    """The 32-byte digest that is signed for a text message.

    Any str is accepted: a lone surrogate, which no client can sign, gets an encoding of its own.
    """
    return prefixed_digest(keccak256(message.encode("utf-8", "surrogatepass")))


def parse_signature(text: str) -> bytes | None:
    """65 bytes `r || s || v` from hex text (`0x` optional), or None when the text is anything else."""
    digits = text.removeprefix("0x")
    if len(digits) != 2 * _SIGNATURE_BYTES:
        return None
    try:
        signature = bytes.fromhex(digits)
    except ValueError:
        return None
    # fromhex skips white space, which leaves fewer bytes.
    return signature if len(signature) == _SIGNATURE_BYTES else None


def recover_address(digest: bytes, signature: bytes) -> str | None:
    """Checksummed address whose key signed `digest`, or None when the signature belongs to no key.

    `v` may be 0/1 (ocean.py, Aquarius) or 27/28 (ethers). A high s is accepted, as in the `ecrecover` of the
    contracts: the malleable twin of a signature carries the same nonce, so it is of no use for a replay.
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


def verify(candidates: Sequence[str], signature: str, claimed: str) -> bool:
    """Was one of the candidate messages signed by the claimed address (any case)? Never raises.

    About 55 µs of CPU per candidate tried, so the likelier message comes first.
    """
    parsed = parse_signature(signature)
    if parsed is None or not is_address(claimed):
        return False
    address = to_checksum_address(claimed)
    return any(recover_address(message_digest(message), parsed) == address for message in candidates)


def sign_message(signer: Signer, message: str) -> bytes:
    """Sign a text as the clients do: 65 bytes `r || s || v`, v is 0 or 1."""
    return signer.sign_digest(message_digest(message))
