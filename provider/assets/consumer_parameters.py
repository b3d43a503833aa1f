"""Parameters that a publisher declares for consumers, and the check of a consumer's values (pure).

`consumerParameters` of a service or of an algorithm's metadata in; nothing, or a refusal that names the parameter, out.
A `default` is only the initial value in forms. It is neither sent to the origin nor used for a missing required value,
which ocean-node refuses as well.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provider.errors import ValidationFailed
from provider.wire.json import read_json

# Names are repeated to clients, so only plain short ones are shown.
_SHOWN = re.compile(r"[\w .-]{1,64}")
_MAX_NAMED = 20
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ConsumerParameter:
    """One declared parameter.

    `type` is `text`, `number`, `boolean`, `select`, or `""` for an unknown one. `options`: the values of a `select`.
    """

    name: str
    type: str
    required: bool
    options: frozenset[str] = frozenset()


Declared = tuple[ConsumerParameter, ...]
UNDECLARED: Declared = ()
"""Nothing is declared: any value is passed on (`provider-api.md` section 11.2)."""


def parse_consumer_parameters(raw: object) -> Declared:
    """Parse a DDO's `consumerParameters`. Never raises: malformed parameters declare nothing.

    They guard the origin against mistakes, not the asset against strangers, so a publisher's slip should not stop the
    sale.
    """
    if not isinstance(raw, list):
        return UNDECLARED
    return tuple(_parameter(item) for item in raw if isinstance(item, Mapping) and isinstance(item.get("name"), str))


def check_parameters(declared: Declared, values: Mapping[str, object] | None, *, field: str) -> None:
    """Raise ValidationFailed for undeclared, missing and mistyped values; its fields are `<field>.<name>`.

    Without a declaration everything passes. `values`: None counts as no values.
    """
    if not declared:
        return
    given = values or {}
    errors: dict[str, list[str]] = {}
    for parameter in declared:
        name = f"{field}.{_shown(parameter.name)}"
        value = given.get(parameter.name)
        if value is None:
            if parameter.required:
                errors[name] = [f"The {name} field is required."]
        elif (complaint := _complaint(parameter, value)) is not None:
            errors[name] = [f"The {name} {complaint}"]
    known = {parameter.name for parameter in declared}
    for key in [key for key in given if key not in known][:_MAX_NAMED]:
        errors[f"{field}.{_shown(key)}"] = ["This parameter is not declared by the publisher."]
    if errors:
        raise ValidationFailed(errors)


def _parameter(raw: Mapping[str, object]) -> ConsumerParameter:
    kind = raw.get("type")
    return ConsumerParameter(
        name=str(raw["name"]),
        type=kind if isinstance(kind, str) and kind in ("text", "number", "boolean", "select") else "",
        required=raw.get("required") is True,
        options=_options(raw.get("options")),
    )


def _options(raw: object) -> frozenset[str]:
    """Values of a select: keys of objects `{value: label}`, or plain texts, in a list or its JSON text."""
    if isinstance(raw, str):
        try:
            raw = read_json(raw)
        except ValueError:
            return frozenset()
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return frozenset()
    values: set[str] = set()
    for item in raw:
        values.update(item if isinstance(item, Mapping) else (item,) if isinstance(item, str) else ())
    return frozenset(values)


def _complaint(parameter: ConsumerParameter, value: object) -> str | None:
    """The complaint about the value. Forms also send numbers and booleans as text."""
    if parameter.type == "text":
        return None if isinstance(value, str) else "must be a text."
    if parameter.type == "number":
        return None if _is_number(value) else "must be a number."
    if parameter.type == "boolean":
        return None if isinstance(value, bool) or value in ("true", "false") else "must be true or false."
    if parameter.type == "select" and parameter.options:
        return None if isinstance(value, str) and value in parameter.options else "must be one of the options."
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    # float() also reads digits of other scripts, white space and underscores.
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _shown(name: str) -> str:
    return name if _SHOWN.fullmatch(name) else "(not shown)"
