"""The body of `POST …/ddo/validate` → a frozen value. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from provider.auth.identify import Signed
from provider.auth.token import PresentedToken
from provider.errors import BodyNotObject
from provider.handlers import rules
from provider.handlers.identity.token_params import presented_token
from provider.handlers.json_body import JsonShape, member_text, parse_json
from provider.handlers.params import parse_signed, signed_fields
from provider.handlers.rules import Data, Field, is_empty, validate

# Any of these asks for the signed form.
_PROOF_FIELDS = ("publisherAddress", "nonce", "signature")


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """A DDO to check.

    `document_hash`: sha256 of its text, exactly as it stands in the body. Who publishes the DDO sends the same text to
    `encrypt`, so this is the hash that belongs on chain. `signed`: None for the form without a signature, of
    ocean.js 3 and Aquarius, whose whole body is the DDO.
    """

    ddo: Mapping[str, object] = field(repr=False)
    document_hash: bytes
    signed: Signed | None

    FIELDS = (
        Field("ddo", (rules.required(),), bail=True),
        Field("publisherAddress", (rules.required(),), bail=True),
        Field("nonce", (rules.required(), rules.numeric()), bail=True),
        Field("signature", (rules.signature(),)),
    )

    @classmethod
    def parse(cls, body: bytes | bytearray, shape: JsonShape | None, headers: Mapping[str, str]) -> Self:
        """Raises BodyNotObject, BodyTooComplex and ValidationFailed."""
        data = parse_json(body, shape)
        if not isinstance(data, Mapping):
            raise BodyNotObject
        ddo = data.get("ddo")
        if not isinstance(ddo, Mapping):
            return cls(data, hashlib.sha256(body).digest(), None)
        text = member_text(body.decode("utf-8"), "ddo")
        return cls(ddo, hashlib.sha256(text.encode("utf-8")).digest(), _signed(data, presented_token(data, headers)))


def _signed(data: Data, token: PresentedToken | None) -> Signed | None:
    if all(is_empty(data.get(name)) for name in _PROOF_FIELDS):
        return None
    validate(signed_fields(ValidateRequest.FIELDS, data, token), data)
    return parse_signed(data, "publisherAddress", token)
