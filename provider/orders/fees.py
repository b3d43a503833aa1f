"""The provider fee: makes a signed quote for consumers, and finds who signed the fee that they paid (pure).

`provider-api.md` sections 9.1 and 9.2. The caller decides who pays how much.
"""

import json
from decimal import Decimal
from functools import lru_cache
from typing import TypedDict

from coincurve import PublicKey

from provider.chain.events import ProviderFee
from provider.crypto.accounts import Account, public_key_address
from provider.crypto.keccak import is_address, keccak256

# EIP-191, version 0x45: the contract hashes the 32 bytes of the inner digest as a personal message.
_PREFIX = b"\x19Ethereum Signed Message:\n32"


class ProviderFeeQuote(TypedDict):
    """Wire shape of a quote. Clients pass its values to the contract unchanged.

    `v` and `validUntil` are integers because ocean.py passes them directly into an ABI call. The amount is text.
    """

    providerFeeAddress: str
    providerFeeToken: str
    providerFeeAmount: str
    providerData: str
    v: int
    r: str
    s: str
    validUntil: int


def quote_fee(
    account: Account,
    *,
    token: str,
    amount: int,
    valid_until: int,
    datatoken: str,
    service_id: str,
    environment: str | None,
    now: float,
) -> ProviderFeeQuote:
    """Sign a fee of `amount` base units of `token` for one service.

    Args:
        account: our key.
        token: fee token, written as given.
        amount: in base units.
        valid_until: unix seconds; 0 for no end.
        datatoken: of the service, written as given.
        service_id: of the service.
        environment: compute environment; None for a download.
        now: unix seconds.

    Raises:
        ValueError: an amount or time is not a uint256, or the token is not an address.
    """
    provider_data = json.dumps(
        {"environment": environment, "timestamp": float(now), "dt": datatoken, "id": service_id},
        separators=(",", ":"),
    ).encode()
    signature = account.sign_digest(fee_digest(provider_data, account.address, token, amount, valid_until))
    return {
        "providerFeeAddress": account.address,
        "providerFeeToken": token,
        "providerFeeAmount": str(amount),
        "providerData": "0x" + provider_data.hex(),
        "v": signature[64] + 27,  # the contract's ecrecover accepts only 27 and 28
        "r": "0x" + signature[:32].hex(),
        "s": "0x" + signature[32:64].hex(),
        "validUntil": valid_until,
    }


def time_fee(price_per_minute: Decimal, *, seconds: int, decimals: int) -> int:
    """Base units for `seconds` at `price_per_minute` of a token with `decimals`; exact, then truncated [K22].

    Raises ValueError if the price is negative or not finite.
    """
    sign, digits, exponent = price_per_minute.as_tuple()
    if not isinstance(exponent, int) or sign:
        raise ValueError("not a price")
    numerator, shift = int("".join(map(str, digits)) or "0") * seconds, decimals + exponent
    scale = int(10 ** abs(shift))
    return numerator * scale // 60 if shift >= 0 else numerator // (60 * scale)


def fee_digest(provider_data: bytes, provider: str, token: str, amount: int, valid_until: int) -> bytes:
    """The 32 bytes to sign: the packed fields, hashed, prefixed and hashed again.

    Raises ValueError for an integer that is not a uint256 or text that is not an address.
    """
    return keccak256(_PREFIX + packed_fee_digest(provider_data, provider, token, amount, valid_until))


def packed_fee_digest(provider_data: bytes, provider: str, token: str, amount: int, valid_until: int) -> bytes:
    """keccak256(abi.encodePacked(providerData, feeAddress, feeToken, feeAmount, validUntil)), see `fee_digest`."""
    if not is_address(provider) or not is_address(token):
        raise ValueError("not an address")
    if amount < 0 or valid_until < 0 or amount >> 256 or valid_until >> 256:
        raise ValueError("not a uint256")
    return keccak256(
        provider_data
        + bytes.fromhex(provider[2:])
        + bytes.fromhex(token[2:])
        + amount.to_bytes(32, "big")
        + valid_until.to_bytes(32, "big")
    )


# The event alone determines the signer, and it is checked at every download of its order: 50 µs each.
@lru_cache(maxsize=4096)
def fee_signer(fee: ProviderFee) -> str | None:
    """Checksummed address that signed `fee`; None if the signature is invalid."""
    if fee.v not in (27, 28):
        return None
    digest = fee_digest(fee.provider_data, fee.provider, fee.token, fee.amount, fee.valid_until)
    signature = fee.r + fee.s + bytes([fee.v - 27])
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError:
        return None
    return public_key_address(key.format(compressed=False))


def fee_signer_matches(fee: ProviderFee, provider: str) -> bool:
    """True if `provider` (address in any case) signed exactly this fee."""
    signer = fee_signer(fee)
    return signer is not None and signer.lower() == provider.lower()
