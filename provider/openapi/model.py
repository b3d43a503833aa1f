"""The types that describe one operation. Everything else comes from the code that serves it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from provider.errors import (
    ChainError,
    NonceRefused,
    ProviderError,
    RbacRefused,
    ServiceUnavailable,
    SignatureInvalid,
    StoreError,
    UnsupportedChain,
)
from provider.handlers.rules import Field

Schema = Mapping[str, object]

SIGNED = (SignatureInvalid, NonceRefused, UnsupportedChain, ChainError, StoreError)
"""Errors of every signed operation."""

GATE = (RbacRefused, ServiceUnavailable)
"""Errors that the operator's own rules add to any operation."""


@dataclass(frozen=True, slots=True)
class Word:
    """The meaning of a field, the values it takes beyond its rules, and an example."""

    text: str
    schema: Schema = field(default_factory=dict)
    example: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is not a refusal.

    `media`: None for an answer without body.
    `headers`: names of `schemas.HEADERS`.
    """

    text: str
    schema: Schema | None = None
    media: str | None = "application/json"
    example: object = None
    headers: Sequence[str] = ()
    status: int = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    `id`: unique.
    `summary`: a few words.
    `replies`, `errors`: what may come back. An error class stands for all its subclasses.
    `fields`: the FIELDS of the request value.
    `also`: names of fields that have no rule.
    `words`: fields that mean something else here than in `fields.py`.
    `via`: where clients put the fields. With "query", a JSON body may replace the query, and with "body" a query the
        body. The others have one form.
    `body`: media type of a body that is not JSON.
    `tag`: groups operations.
    `token`: an auth token may replace nonce and signature.
    `passes_on`: a service whose answers of any status are passed on.
    """

    id: str
    summary: str
    tag: str
    replies: Sequence[Reply]
    text: str = ""
    fields: Sequence[Field] = ()
    also: Sequence[str] = ()
    via: Literal["query", "body", "query_only", "body_only", "none"] = "none"
    body: str | None = None
    headers: Sequence[str] = ()
    errors: Sequence[type[ProviderError]] = ()
    token: bool = False
    passes_on: str = ""
    words: Mapping[str, Word] = field(default_factory=dict)
    example: Mapping[str, object] | None = None
