"""Auth tokens in requests: the token that replaces a signature, and the requests that create or revoke one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from provider.auth.identify import Signed
from provider.auth.token import PresentedToken
from provider.errors import UnsupportedChain, ValidationFailed
from provider.handlers import rules
from provider.handlers.params import parse_signed
from provider.handlers.rules import DIGITS, Data, Field, Rule, is_empty, validate, wire_text
from provider.wire.text import ows

# A time this large is in milliseconds, as from Date.now(): in seconds it would be the year 5138.
_FIRST_MILLISECONDS = 10**11
_BEARER = "bearer "

_ADDRESS = Field("address", (rules.required(),), bail=True)
_NONCE = Field("nonce", (rules.required(), rules.numeric()), bail=True)
_SIGNATURE = Field("signature", (rules.signature(),))
_TOKEN = Field("token", (rules.required(),), bail=True)


def presented_token(data: Data, headers: Mapping[str, str]) -> PresentedToken | None:
    """Return the token that replaces the signature; None if there is none, or if there is a signature.

    Older clients use the header `AuthToken`, which has priority. `Authorization` contains the bare token (ocean.js 8)
    or `Bearer` and the token (RFC 6750). Other schemes, which a front proxy may use, are ignored.
    """
    if not is_empty(data.get("signature")):
        return None
    old = ows(headers.get("AuthToken", ""))
    if old:
        return PresentedToken(old, needs_nonce=True)
    text = ows(headers.get("Authorization", ""))
    if text[: len(_BEARER)].lower() == _BEARER:
        text = ows(text[len(_BEARER) :])
    return PresentedToken(text, needs_nonce=False) if text and " " not in text else None


class NamedChain:
    """The chain that the request names, for an Identifier, which asks only if it needs it."""

    __slots__ = ("_chain_id",)

    def __init__(self, chain_id: int | None) -> None:
        self._chain_id = chain_id

    def known(self) -> int | None:
        """Return the chain id if it is valid, else None."""
        return self._chain_id

    async def find(self) -> int:
        """Return the chain id. Raises UnsupportedChain if it is not valid."""
        if self._chain_id is None:
            raise UnsupportedChain
        return self._chain_id


def _future(now: float) -> Rule:
    return Rule(lambda _, value: _seconds(value) > now, "Invalid timestamp provided.")


def _seconds(value: object) -> int:
    text = wire_text(value)
    return int(text) if DIGITS.fullmatch(text) else 0


def _creation(now: float) -> tuple[Field, ...]:
    return (
        _ADDRESS,
        Field("expiration", (rules.required(), rules.integer(), _future(now)), bail=True),
        _NONCE,
        _SIGNATURE,
    )


@dataclass(frozen=True, slots=True)
class CreateTokenRequest:
    """`GET createAuthToken`. `expires_at`: unix seconds; None for the longest lifetime that the operator allows."""

    signed: Signed
    expires_at: int | None

    FIELDS = _creation(0.0)
    NODE_FIELDS = (_ADDRESS, _NONCE, _SIGNATURE)

    @classmethod
    def parse(cls, data: Data, *, now: float) -> Self:
        """Parse the fields. `now`: unix seconds. Raises ValidationFailed."""
        validate(_creation(now), data)
        return cls(parse_signed(data, "address"), _seconds(data["expiration"]))

    @classmethod
    def parse_node(cls, data: Data, *, now: float) -> Self:
        """Parse the fields of `POST auth/token`: `validUntil` is optional and may be in milliseconds.

        Raises ValidationFailed.
        """
        validate(cls.NODE_FIELDS, data)
        expires_at = None
        if not is_empty(data.get("validUntil")):
            expires_at = _seconds(data["validUntil"])
            expires_at = expires_at // 1000 if expires_at >= _FIRST_MILLISECONDS else expires_at
            if expires_at <= now:
                raise ValidationFailed({"validUntil": ["Invalid timestamp provided."]})
        return cls(parse_signed(data, "address"), expires_at)


@dataclass(frozen=True, slots=True)
class EndTokenRequest:
    """`DELETE deleteAuthToken` and `POST auth/token/invalidate`."""

    signed: Signed
    token: str = field(repr=False)

    FIELDS = (_ADDRESS, _TOKEN, _NONCE, _SIGNATURE)

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        return cls(parse_signed(data, "address"), wire_text(data["token"]))
