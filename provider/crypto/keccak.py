"""Keccak-256 and EIP-55 addresses (pure).

Bytes or address text in, digest or checksummed address out. This is not SHA3-256: Ethereum uses the padding of the
original Keccak submission, so `hashlib.sha3_256` gives other digests.
"""

import re
from functools import lru_cache

try:
    import sha3  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    # No wheel for this platform. pycryptodome has one for every platform; a digest then takes seven times as long.
    sha3 = None
    from Crypto.Hash import keccak as portable

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


if sha3 is not None:

    def keccak256(data: bytes) -> bytes:
        """Return the 32-byte Keccak-256 digest of `data`."""
        digest: bytes = sha3.keccak_256(data).digest()
        return digest

else:

    def keccak256(data: bytes) -> bytes:
        """Return the 32-byte Keccak-256 digest of `data`."""
        return portable.new(data=data, digest_bits=256).digest()


def is_address(value: object) -> bool:
    """True for the text of an address: `0x` and 40 hex digits, in any case.

    A wrong EIP-55 checksum is accepted, since wallets and old clients send lower, upper and mixed case.
    """
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


# One request checksums the same few addresses many times. 4096 entries take about 1 MiB.
@lru_cache(maxsize=4096)
def to_checksum_address(text: str) -> str:
    """EIP-55 form of an address in any case. Raises ValueError, without repeating the text, for anything else."""
    if not is_address(text):
        raise ValueError("not an address: 0x and 40 hex digits expected")
    digits = text[2:].lower()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, mask, strict=False)
    )
