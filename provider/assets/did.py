"""DIDs of assets (pure): a DID names a data NFT on a chain."""

import hashlib
import re
from functools import lru_cache

from provider.crypto.keccak import to_checksum_address

_PREFIXES = ("did:op:", "did:ope:")
_FORM = re.compile(r"did:ope?:[0-9a-f]{64}", re.ASCII)


def is_did(text: str) -> bool:
    """True if `text` is exactly a DID: `did:op:` (DDO 4) or `did:ope:` (DDO 5) and 64 lower-case hex digits."""
    return _FORM.fullmatch(text) is not None


# Requests ask for the same few assets. 4096 entries take about 1 MiB.
@lru_cache(maxsize=4096)
def did_for(data_nft: str, chain_id: int, *, prefix: str = "did:op:") -> str:
    """DID of the data NFT (address in any case): hex sha256 of its checksummed address and decimal chain id.

    Raises ValueError if `data_nft` is not an address.
    """
    return prefix + hashlib.sha256(f"{to_checksum_address(data_nft)}{chain_id}".encode()).hexdigest()


def matches(did: str, data_nft: str, chain_id: int) -> bool:
    """True if the DID names this data NFT. Both prefixes carry the same hash. Raises like `did_for`."""
    prefix = did[: did.rfind(":") + 1]
    return prefix in _PREFIXES and did == did_for(data_nft, chain_id, prefix=prefix)
