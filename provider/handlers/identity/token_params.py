"""AuthTokens on the wire: the token of a request, and the requests that create or end one. Pure."""

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

# A time this large is in milliseconds, as Date.now() gives it: in seconds it would be the year 5138.
_FIRST_MILLISECONDS = 10**11
_BEARER = "bearer "

_ADDRESS = Field("address", (rules.required(),), bail=True)
_NONCE = Field("nonce", (rules.required(), rules.numeric()), bail=True)
_SIGNATURE = Field("signature", (rules.signature(),))
_TOKEN = Field("token", (rules.required(),), bail=True)


def presented_token(data: Data, headers: Mapping[str, str]) -> PresentedToken | None:
    """The token that stands in for the signature; None when there is a signature, which always wins, or no token.

    `AuthToken` is the header of the clients of old and goes first. `Authorization` holds the bare token (ocean.js 8)
    or `Bearer` and the token (RFC 6750); another scheme, as a front proxy may use, is none of ours.
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
    """For an Identifier, which asks when it needs it: the chain that the request names."""

    __slots__ = ("_chain_id",)

    def __init__(self, chain_id: int | None) -> None:
        self._chain_id = chain_id

    def known(self) -> int | None:
        """Its id, if it is one."""
        return self._chain_id

    async def find(self) -> int:
        """Raises UnsupportedChain when it is none."""
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
    """`GET createAuthToken`. `expires_at` in unix seconds, None for as long as the operator allows."""

    signed: Signed
    expires_at: int | None

    FIELDS = _creation(0.0)
    NODE_FIELDS = (_ADDRESS, _NONCE, _SIGNATURE)

    @classmethod
    def parse(cls, data: Data, *, now: float) -> Self:
        """`now` in unix seconds. Raises ValidationFailed."""
        validate(_creation(now), data)
        return cls(parse_signed(data, "address"), _seconds(data["expiration"]))

    @classmethod
    def parse_node(cls, data: Data, *, now: float) -> Self:
        """`POST auth/token`, as ocean-node has it: `validUntil` is optional and may be in milliseconds.

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
