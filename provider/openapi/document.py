"""Builds the OpenAPI 3.1 document of the routes that are served."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from provider import __version__
from provider.errors import (
    BodyNotObject,
    BodyTooComplex,
    BodyTooLarge,
    BodyTooSlow,
    LoadRefused,
    NotHttp,
    ProviderError,
    RequestError,
    ValidationFailed,
)
from provider.errors.document import error_classes
from provider.errors.fault import is_raised
from provider.handlers.routes import Route
from provider.handlers.rules import Field
from provider.openapi import schemas
from provider.openapi.model import Operation, Reply
from provider.openapi.operations import OPERATIONS, TAGS

BODIES = {
    "error": "Error",
    "validation": "ValidationErrors",
    "signature": "SignatureError",
    "compute": "ComputeRefusal",
}
PATH_PARAMETER = re.compile(r"{(\w+)}")
PROOF = ("nonce", "signature")
_ABOUT = """\
Access gateway for Ocean Protocol datasets. It checks on chain that a consumer has ordered a dataset, then streams it.

**Input.** If the URL has any query parameter, the query is the whole input; else a JSON object in the body is. The
first of repeated query keys counts. Numbers may be given as numbers or as text.

**Signed requests.** `signature` is the EIP-191 signature of the message that the operation names, with `nonce` at its
end. A nonce is used up once the signature holds, whatever comes after; only a quota that is used up leaves it free.
[`nonce`](#/identity/nonce) returns the last one.

**Files.** [`download`](#/data/download) sends a file once. [`createLinks`](#/data/createLinks) makes URLs that any tool
opens, with ranges. [`fileinfo`](#/data/fileinfo) says what a file is, without an order.

**Refusals.** JSON in one of the shapes under each status. `docs/errors.md` names all of them with cause and remedy.
"""


def build_document(routes: Iterable[Route], *, public_url: str | None = None) -> dict[str, object]:
    """Build the document for these routes. A route not described in OPERATIONS is left out (a test finds it).

    `public_url`: where consumers reach this server, if a setting says it.
    """
    paths: dict[str, dict[str, object]] = {}
    inputs: dict[str, object] = {}
    seen: set[str] = set()
    for route in routes:
        operation = OPERATIONS.get((route.method, route.path))
        if operation is None:
            continue
        if operation.id in seen:
            # A second path of the same operation. Its text names that path.
            continue
        seen.add(operation.id)
        if operation.via in ("query", "body", "body_only"):
            inputs[input_name(operation)] = schemas.object_schema(
                input_fields(operation), operation.also, operation.words
            )
        paths.setdefault(route.path, {})[route.method.lower()] = describe(operation, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Provider",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        # Relative to the document's own URL, unless a setting names it: so it holds behind a path prefix.
        "servers": [{"url": "." if public_url is None else public_url.rstrip("/")}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas.SCHEMAS, **inputs},
            "headers": schemas.HEADERS,
            "parameters": {name: {"name": name, **spec} for name, spec in schemas.PARAMETERS.items()},
            "securitySchemes": schemas.SECURITY,
        },
    }


def input_name(operation: Operation) -> str:
    """Return the name of the schema of the operation's input."""
    return f"{operation.id[0].upper()}{operation.id[1:]}Input"


def input_fields(operation: Operation) -> list[Field]:
    """Return the fields; those that a token may replace are optional."""
    return [
        replace(field, optional=True) if operation.token and field.name in PROOF else field
        for field in operation.fields
    ]


def describe(operation: Operation, route: Route) -> dict[str, object]:
    """Return the Operation Object."""
    described: dict[str, object] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation, route.path), *_parameters(operation)],
        "responses": _responses(operation, route.method),
    }
    text = "\n\n".join(part for part in (operation.text, _other_form(operation)) if part)
    if text:
        described["description"] = text
    if operation.token:
        described["security"] = [{}, *({name: []} for name in schemas.SECURITY)]
    body = _request_body(operation)
    if body is not None:
        described["requestBody"] = body
    return described


def _other_form(operation: Operation) -> str:
    name = input_name(operation)
    if operation.via == "query":
        return f"Instead of a query, the same fields may be sent as a JSON object in the body (schema `{name}`)."
    return "Instead of a body, all the same fields may be sent in the query." if operation.via == "body" else ""


def _path_parameters(operation: Operation, path: str) -> list[object]:
    """Those in braces."""
    named = [(name, schemas.word_of(name, operation.words)) for name in PATH_PARAMETER.findall(path)]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": word.text,
            "schema": {"type": "string"},
            "example": word.example,
        }
        for name, word in named
    ]


def _parameters(operation: Operation) -> list[object]:
    parameters: list[object] = []
    if operation.via in ("query", "query_only"):
        named = [(field.name, schemas.is_required(field), field) for field in input_fields(operation)]
        named += [(name, False, Field(name, ())) for name in operation.also]
        for name, required, field in named:
            word = schemas.word_of(name, operation.words)
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "required": required,
                    "description": word.text,
                    "schema": schemas.field_schema(field, operation.words, as_query=True),
                    "example": str(word.example),
                }
            )
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in ("X-Request-ID", *operation.headers)]


def _request_body(operation: Operation) -> dict[str, object] | None:
    if operation.body is not None:
        return {"required": False, "content": {operation.body: {}}}
    if operation.via not in ("body", "body_only"):
        return None
    media: dict[str, object] = {"schema": schemas.ref(input_name(operation))}
    if operation.example is not None:
        media["example"] = operation.example
    return {"required": True, "content": {"application/json": media}}


def _responses(operation: Operation, method: str) -> dict[str, object]:
    responses: dict[str, object] = {}
    for status in dict.fromkeys(reply.status for reply in operation.replies):
        responses[str(status)] = _success([reply for reply in operation.replies if reply.status == status])
    for status, errors in _by_status(operation).items():
        responses[str(status)] = _refusal(errors, without_body=method == "HEAD")
    if operation.passes_on:
        answer = Reply(f"The answer of {operation.passes_on}, status and body unchanged.", {})
        responses["default"] = _success([answer])
    return responses


def _success(replies: Sequence[Reply]) -> dict[str, object]:
    content: dict[str, dict[str, object]] = {}
    for reply in replies:
        if reply.media is None:
            continue
        media = content.setdefault(reply.media, {})
        if reply.schema is not None:
            options = media.get("schema")
            media["schema"] = reply.schema if options is None else {"oneOf": [options, reply.schema]}
        if reply.example is not None:
            examples = media.setdefault("examples", {})
            assert isinstance(examples, dict)  # noqa: S101 - made here
            examples[f"example{len(examples) + 1}"] = {"value": reply.example}
    headers = dict.fromkeys(name for reply in replies for name in ("X-Request-ID", *reply.headers))
    described: dict[str, object] = {
        "description": " Or: ".join(reply.text for reply in replies),
        "headers": _headers(headers),
    }
    return {**described, "content": content} if content else described


def _headers(names: Iterable[str]) -> Mapping[str, object]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _by_status(operation: Operation) -> dict[int, list[type[ProviderError]]]:
    """Return all errors of an operation by status, including those that any request can meet."""
    named = list(operation.errors)
    if operation.via in ("query", "body", "query_only"):
        named.append(ValidationFailed)
    if operation.via in ("query", "body", "body_only"):
        named.append(BodyNotObject)
    named += (BodyTooLarge, BodyTooComplex, BodyTooSlow, NotHttp, LoadRefused)
    # Subclasses of RequestError belong to different operations.
    every = [error for base in named for error in ([base] if base is RequestError else error_classes(base))]
    every.append(ProviderError)
    found: dict[int, list[type[ProviderError]]] = {}
    for error in dict.fromkeys(every):
        if is_raised(error):
            found.setdefault(error.http_status, []).append(error)
    return dict(sorted(found.items()))


def _refusal(errors: Sequence[type[ProviderError]], *, without_body: bool) -> dict[str, object]:
    names = ["X-Request-ID"]
    if all(error.retry_after_seconds is not None for error in errors):
        names.append("Retry-After")
    lines = [f"- `{error.code}`" + (f": {error.text}" if error.text else "") for error in errors]
    described: dict[str, object] = {
        "description": "\n".join((HTTPStatus(errors[0].http_status).phrase + ":", "", *lines)),
        "headers": _headers(names),
    }
    if without_body:
        return described
    bodies = [schemas.ref(name) for name in dict.fromkeys(BODIES[error.shape] for error in errors)]
    schema = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    return {**described, "content": {"application/json": {"schema": schema}}}
