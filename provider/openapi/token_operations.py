"""Operations on auth tokens."""

from collections.abc import Mapping

from provider.errors import ChainError, NonceRefused, SignatureInvalid, StoreError, TokenRefused, UnsupportedChain
from provider.handlers import rules
from provider.handlers.identity.token_params import EndTokenRequest
from provider.handlers.rules import Field
from provider.openapi.model import Operation, Reply
from provider.openapi.schemas import closed, ref

SIGNED = (SignatureInvalid, NonceRefused, UnsupportedChain, ChainError, StoreError)

# The request value makes these at each request: what is in the future depends on the time.
_CREATE = (
    Field("address", (rules.required(),), bail=True),
    Field("expiration", (rules.required(), rules.integer()), bail=True),
    Field("nonce", (rules.required(), rules.numeric()), bail=True),
    Field("signature", (rules.signature(),)),
)
_CREATE_NODE = tuple(field for field in _CREATE if field.name != "expiration")
_TOKEN = Reply("The token.", ref("Token"), example={"token": "eyJhbGciOiJIUzI1NiJ9.eyJhZGRyZXNzIjoiMHgifQ.c2ln"})

TOKEN_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/services/createAuthToken"): Operation(
        id="createAuthToken",
        summary="A token instead of signatures",
        tag="identity",
        text="Signed message: `address`, `nonce`.",
        fields=_CREATE,
        also=("chainId",),
        via="query",
        replies=(_TOKEN,),
        errors=SIGNED,
    ),
    ("DELETE", "/api/services/deleteAuthToken"): Operation(
        id="deleteAuthToken",
        summary="End a token",
        tag="identity",
        text="Signed message: `address`, `nonce`.",
        fields=EndTokenRequest.FIELDS,
        also=("chainId",),
        via="body",
        replies=(Reply("It has ended.", closed({"success": {"const": "Token has been deactivated."}})),),
        errors=(*SIGNED, TokenRefused),
    ),
    ("POST", "/api/services/auth/token"): Operation(
        id="generateAuthToken",
        summary="A token, in the words of ocean-node",
        tag="identity",
        fields=_CREATE_NODE,
        also=("validUntil", "chainId"),
        via="body",
        replies=(_TOKEN,),
        errors=SIGNED,
    ),
    ("POST", "/api/services/auth/token/invalidate"): Operation(
        id="invalidateAuthToken",
        summary="End a token, in the words of ocean-node",
        tag="identity",
        fields=EndTokenRequest.FIELDS,
        also=("chainId",),
        via="body",
        replies=(Reply("It has ended.", closed({"success": {"const": True}})),),
        errors=(*SIGNED, TokenRefused),
    ),
}
