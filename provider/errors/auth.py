"""The request does not prove who is asking."""

from collections.abc import Mapping

from provider.errors.base import Fault, ProviderError


class AuthError(ProviderError):
    """Base of refusals about identity; 400, as clients expect (`provider-api.md` section 2)."""

    code = "auth_failed"
    fault: Fault = "consumer"
    http_status = 400


class SignatureInvalid(AuthError):
    """The signature does not recover to the claimed address. `errors.signature` is a plain string (wire)."""

    code = "signature_invalid"
    shape = "signature"
    remedy = (
        "Sign the message that this endpoint documents. Use the nonce that you send, and the key of the address that "
        "you send."
    )
    text = "Invalid signature provided. Please check the nonce or documentId."

    def body(self) -> Mapping[str, object]:
        """Validation body with a plain string on `signature`."""
        return {"errors": {"signature": self.public_text}, "message": "Validation error", "success": False}


class NonceRefused(SignatureInvalid):
    """The nonce is not greater than the last one accepted."""

    code = "nonce_refused"
    remedy = "Ask for the last nonce, and sign again with a greater one."
    text = "Invalid signature: the nonce is not greater than the stored one."


class TokenRefused(AuthError):
    """The AuthToken is not ours, is malformed, or belongs to another address."""

    code = "token_refused"
    remedy = "Create a token at this Provider with the address that uses it."
    text = "Token is invalid."


class TokenExpired(TokenRefused):
    """The AuthToken's `exp` has passed."""

    code = "token_expired"
    remedy = "Create a new token."
    text = "Token is expired."


class TokenRevoked(TokenRefused):
    """The AuthToken was deleted by its owner."""

    code = "token_revoked"
    remedy = "Create a new token."
    text = "Token is deleted."


class TokenNotAccepted(AuthError):
    """A token that was sent in place of a signature is not valid. `errors.signature` is a list (wire)."""

    code = "token_not_accepted"
    shape = "validation"
    remedy = "Create a new token with the address that you send, or send a signature. The log has the reason."
    text = "Invalid signature provided. Please check the nonce or documentId."

    def body(self) -> Mapping[str, object]:
        """Validation body, as if the signature were missing."""
        return {"errors": {"signature": [self.public_text]}, "message": "Validation error", "success": False}


class ContractChecksBusy(AuthError):
    """Too many requests at once have signatures that only a contract account could have made (ERC-1271)."""

    code = "contract_checks_busy"
    http_status = 429
    remedy = "Try again after a second. Accounts with a key of their own are not affected."
    text = "Too many requests of contract accounts at once, please try again."
    retry_after_seconds = 1
