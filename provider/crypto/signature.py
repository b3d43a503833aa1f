"""Messages to digests, digests and signatures to addresses (pure).

The construction of every client is `personal_sign` over the 32 raw bytes keccak256(message), not over the text
(`provider-api.md` section 4.1). Which message an endpoint signs is in `messages.py`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coincurve import PublicKey

from provider.crypto.keccak import is_address, keccak256, to_checksum_address

if TYPE_CHECKING:
    from provider.crypto.accounts import Account

# EIP-191 version 0x45: the length of the signed data follows, 32 because that is keccak256(message).
_PERSONAL = b"\x19Ethereum Signed Message:\n"
_PREFIX = _PERSONAL + b"32"
_SIGNATURE_BYTES = 65
# A contract's signature is what its own rules say: n times 65 bytes in a multisignature wallet, more with WebAuthn.
MAX_CONTRACT_SIGNATURE_BYTES = 4096


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


def stripped_digest(message: str) -> bytes | None:
    """The digest that ocean.js 8 and 9 sign when keccak256(message) begins with a zero byte; None when it does not.

    They turn the hash into bytes with ethers' toBeArray, which drops leading zeros: one message in 256 is signed over
    fewer than 32 bytes. The prefix names that length, so it can be taken for no other signature.
    """
    inner = keccak256(message.encode("utf-8", "surrogatepass"))
    if inner[0]:
        return None
    stripped = inner.lstrip(b"\0")
    return keccak256(_PERSONAL + str(len(stripped)).encode() + stripped)


def text_digest(message: str) -> bytes:
    """What wallets sign when they are given the text itself (EIP-191), not its hash; for contract accounts only."""
    data = message.encode("utf-8", "surrogatepass")
    return keccak256(_PERSONAL + str(len(data)).encode() + data)


def signed_candidate(candidates: Sequence[str], signature: bytes, address: str, *, first: int = 0) -> int | None:
    """Position of the candidate message that `address` (checksummed) signed, None when it signed none.

    About 55 µs of CPU per candidate tried; `first` is tried before the others. The form over the hexadecimal text of
    the hash, which ocean-node accepts too, is not tried: no client is known to write it, and it would double the cost
    of every wrong signature.
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
    """Was one of the candidate messages signed by the claimed address (any case)? Never raises."""
    parsed = parse_signature(signature)
    if parsed is None or not is_address(claimed):
        return False
    return signed_candidate(candidates, parsed, to_checksum_address(claimed)) is not None


def parse_contract_signature(text: str) -> bytes | None:
    """What a contract account may take for a signature, from hex text (`0x` optional): 1 to 4096 bytes, else None."""
    digits = text.removeprefix("0x")
    if not 0 < len(digits) <= 2 * MAX_CONTRACT_SIGNATURE_BYTES:
        return None
    try:
        signature = bytes.fromhex(digits)
    except ValueError:
        return None
    # fromhex skips white space, which leaves fewer bytes.
    return signature if 2 * len(signature) == len(digits) else None


def sign_message(signer: "Account", message: str) -> bytes:
    """Sign a text as the clients do: 65 bytes `r || s || v`, v is 0 or 1."""
    return signer.sign_digest(message_digest(message))
