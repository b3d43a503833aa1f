"""AuthTokens: JWTs (RFC 7519) with HS256 that stand in for a signature (pure).

This module makes token texts and reads them. The nonce store knows which tokens were revoked. A signature decides
whether a caller may have a token (`provider-api.md` section 4.4).
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import TokenExpired, TokenRefused

if TYPE_CHECKING:
    from provider.crypto.accounts import Account

_PURPOSE = b"ocean provider / auth token / v1"
# Our tokens have about 190 characters. Longer texts than this are refused before any hash is computed.
_MAX_TEXT = 1024


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _encode(b'{"typ":"JWT","alg":"HS256"}')


@dataclass(frozen=True, slots=True)
class AuthToken:
    """A genuine token of `address` (checksummed) that expires at `expires_at` (unix seconds).

    `token_id`: its name in the store of revocations, the hex sha256 of the token text.
    """

    address: str
    expires_at: int
    token_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A token that a request presents in place of a signature. It is not checked yet.

    `needs_nonce`: it came in the header `AuthToken`, whose clients also send a nonce. Clients that use `Authorization`
    send none: ocean.js 8 and 9 put only the address into such requests. A nonce would not protect a token, because it
    is not signed: anyone holding the token may choose one. Expiry and revocation protect it.
    """

    text: str = field(repr=False)
    needs_nonce: bool


def token_key(universal: "Account") -> bytes:
    """Return the HMAC key of all tokens (HKDF, RFC 5869). It is the same on every worker and has no other use [K8]."""
    return universal.derive_key(_PURPOSE)


def capped_expiry(requested_at: int, *, now: float, max_lifetime_seconds: int) -> int:
    """Return the expiry of a new token: as requested, but never later than the operator allows [K7]."""
    return min(requested_at, int(now) + max_lifetime_seconds)


def create_token(key: bytes, *, address: str, expires_at: int) -> str:
    """Return the token text. The same arguments give the identical text. `address` is kept as sent (wire)."""
    claims = json.dumps({"exp": expires_at, "address": address}, separators=(",", ":"))
    return _signed(key, f"{_HEADER}.{_encode(claims.encode())}")


def token_id(token: str) -> str:
    """Return the name of a token text in the store of revocations."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def decode_token(key: bytes, token: str, *, address: str, now: float) -> AuthToken:
    """Check a token that `address` (any case) presents at `now` (unix seconds).

    Raises TokenRefused (not ours, malformed, or another address's) or TokenExpired (`exp` <= `now`).
    """
    signing_input = token.rpartition(".")[0]
    header, _, payload = signing_input.partition(".")
    if len(token) > _MAX_TEXT or not token.isascii() or header != _HEADER:
        raise TokenRefused
    # Whole texts are compared: base64 has spare bits, and a twin of a revoked token would have another id.
    if not hmac.compare_digest(_signed(key, signing_input), token):
        raise TokenRefused
    claimed, expires_at = _claims(payload)
    if not is_address(address) or claimed != to_checksum_address(address):
        raise TokenRefused
    if expires_at <= now:
        raise TokenExpired
    return AuthToken(address=claimed, expires_at=expires_at, token_id=token_id(token))


def _signed(key: bytes, signing_input: str) -> str:
    return f"{signing_input}.{_encode(hmac.digest(key, signing_input.encode(), 'sha256'))}"


def _claims(payload: str) -> tuple[str, int]:
    try:
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        raise TokenRefused from None
    address = claims.get("address") if isinstance(claims, dict) else None
    expires_at = claims.get("exp") if isinstance(claims, dict) else None
    if not is_address(address) or type(expires_at) is not int:
        raise TokenRefused
    return to_checksum_address(str(address)), expires_at
