"""Who is asking could not be proven."""

from collections.abc import Mapping

from provider.errors.base import ProviderError


class AuthError(ProviderError):
    """Base of refusals about identity; 400 as the clients expect (`provider-api.md` section 2)."""

    code = "auth_failed"
    http_status = 400


class SignatureInvalid(AuthError):
    """The signature does not recover to the claimed address. `errors.signature` is a plain string (wire)."""

    code = "signature_invalid"
    text = "Invalid signature provided. Please check the nonce or documentId."

    def body(self) -> Mapping[str, object]:
        """Validation body with a plain string on `signature`."""
        return {"errors": {"signature": self.public_text}, "message": "Validation error", "success": False}


class NonceRefused(SignatureInvalid):
    """The nonce is not greater than the last one accepted."""

    code = "nonce_refused"
    text = "Invalid signature: the nonce is not greater than the stored one."


class TokenRefused(AuthError):
    """The AuthToken is not ours, is malformed, or belongs to another address."""

    code = "token_refused"
    text = "Token is invalid."


class TokenExpired(TokenRefused):
    """The AuthToken's `exp` has passed."""

    code = "token_expired"
    text = "Token is expired."


class TokenRevoked(TokenRefused):
    """The AuthToken was deleted by its owner."""

    code = "token_revoked"
    text = "Token is deleted."
