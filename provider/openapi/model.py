"""What is said about one operation; everything else is taken from the code that serves it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from provider.errors import ProviderError
from provider.handlers.rules import Field

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Word:
    """What a field means, which values it takes beyond its rules, and one it could have."""

    text: str
    schema: Schema = field(default_factory=dict)
    example: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no refusal. `media` None: no body. `headers` are names of `schemas.HEADERS`."""

    text: str
    schema: Schema | None = None
    media: str | None = "application/json"
    example: object = None
    headers: Sequence[str] = ()
    status: int = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `id` unique, `summary` a few words, `replies` and `errors` what may come back.

    `fields` are the FIELDS of the request value; `also` names fields that have no rule; `words` are those that mean
    something else here than in `fields.py`. `via` is where clients put them: with "query" a JSON body may stand in for
    the query, with "body" a query for the body; the others have one form. `body` is a media type for bodies that are
    no JSON. An error class stands for all below it. `tag` groups operations; `token` tells that an auth token may
    take the place of nonce and signature. `passes_on` names a service whose answers of any status are passed on.
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
