"""Validates fields by rules (`provider-api.md` section 2). Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from provider.auth.nonce import MAX_DIGITS, parse_nonce
from provider.errors import ValidationFailed

Data = Mapping[str, object]
SIGNATURE_MISSING = "Invalid signature provided. Please check the nonce or documentId."
DIGITS = re.compile(r"[0-9]{1,78}")
NUMERIC = {"pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$", "maxLength": MAX_DIGITS + 7}


@dataclass(frozen=True, slots=True)
class Demand:
    """The condition under which a field is required: other fields are present or absent, or the first equals `text`."""

    when: Literal["always", "without_any", "with_any", "with_all", "if_equal"]
    others: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    passes: gets all data and the value of the field, None if that is absent.
    presence: tells whether this data requires the field; None for rules about the value.
    schema, demand: the same for the API description: JSON Schema of the value, and when the field is required.
    """

    passes: Callable[[Data, object], bool]
    message: str
    presence: Callable[[Data], bool] | None = None
    schema: Mapping[str, object] | None = None
    demand: Demand | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field (dotted if nested) and its rules in order. If a `bail` field fails, the validation ends."""

    name: str
    rules: Sequence[Rule]
    bail: bool = False
    optional: bool = False


def validate(fields: Sequence[Field], data: Data) -> None:
    """Check every field in order. Raises ValidationFailed with the messages of all failed fields."""
    errors: dict[str, list[str]] = {}
    for field in fields:
        value = value_of(data, field.name)
        if type(value) is str and value and field.rules == _JUST_REQUIRED:
            # Nearly every field of nearly every request.
            continue
        messages = _failures(field, data, value)
        if messages:
            errors[field.name] = messages
            if field.bail:
                break
    if errors:
        raise ValidationFailed(errors)


def _failures(field: Field, data: Data, value: object) -> list[str]:
    absent = value is None
    if absent and _may_be_absent(field, data):
        return []
    failures: list[str] = []
    for rule in field.rules:
        # A missing field is reported once, by the rule that requires it.
        about_presence = rule.presence is not None
        if (about_presence or not absent) and not rule.passes(data, value):
            failures.append(rule.message.replace("<f>", field.name))
            if field.bail:
                break
    return failures


def _may_be_absent(field: Field, data: Data) -> bool:
    if field.optional:
        return True
    demands = [rule.presence for rule in field.rules if rule.presence is not None]
    return bool(demands) and not any(demand(data) for demand in demands)


def value_of(data: Data, name: str) -> object:
    """Return the value of a dotted field; None if a step is missing or not an object."""
    if type(data) is dict and "." not in name:
        return data.get(name)
    value: object = data
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def is_present(data: Data, name: str) -> bool:
    """Tell whether the key exists, even with null or an empty value."""
    parent, _, last = name.rpartition(".")
    container = value_of(data, parent) if parent else data
    return isinstance(container, Mapping) and last in container


def is_empty(value: object) -> bool:
    """Tell whether a value is null or an empty text, list or object. 0 and false are values."""
    if isinstance(value, str):
        return not value
    return value is None or value in ([], {})


_REQUIRED = Rule(
    lambda _, value: not is_empty(value), "The <f> field is required.", lambda _: True, demand=Demand("always")
)
_JUST_REQUIRED = (_REQUIRED,)


def required() -> Rule:
    """Present and not empty."""
    return _REQUIRED


def required_without(*others: str) -> Rule:
    """Required when at least one of `others` is absent."""
    return _conditional(
        lambda data: any(not is_present(data, other) for other in others),
        f"The <f> field is required when {', '.join(others)} is not present.",
        Demand("without_any", others),
    )


def required_with(*others: str) -> Rule:
    """Required when any of `others` is present."""
    return _conditional(
        lambda data: any(is_present(data, other) for other in others),
        f"The <f> field is required when {', '.join(others)} is present.",
        Demand("with_any", others),
    )


def required_if(other: str, text: str) -> Rule:
    """Required when the value of `other`, as text, is `text`."""
    return _conditional(
        lambda data: str(value_of(data, other)) == text,
        f"The <f> field is required when {other} is {text}.",
        Demand("if_equal", (other,), text),
    )


def _conditional(applies: Callable[[Data], bool], message: str, demand: Demand) -> Rule:
    return Rule(lambda data, value: not applies(data) or not is_empty(value), message, applies, demand=demand)


def integer() -> Rule:
    """Decimal digits only: `12` or `"12"`, not `-1`, not `1.0`."""
    return Rule(_is_integer, "The <f> must be an integer.", schema={"pattern": f"^{DIGITS.pattern}$", "minimum": 0})


def _is_integer(_: Data, value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, str | int) and bool(DIGITS.fullmatch(str(value)))


def at_least_zero() -> Rule:
    """A number that is not negative."""
    return Rule(_is_integer, "The <f> must be at least 0.")


def numeric() -> Rule:
    """A finite number of at most 100 digits (a nonce)."""
    return Rule(lambda _, value: parse_nonce(wire_text(value)) is not None, "The <f> must be a number.", schema=NUMERIC)


def one_of(*options: str) -> Rule:
    """One of the listed texts."""
    return Rule(lambda _, value: value in options, "The selected <f> is invalid.", schema={"enum": list(options)})


def starts_with(prefix: str) -> Rule:
    """Text with this beginning."""
    return Rule(
        lambda _, value: wire_text(value).startswith(prefix),
        "The <f> format is invalid.",
        schema={"pattern": f"^{re.escape(prefix)}"},
    )


def signature() -> Rule:
    """A signature is present. It is verified after all other fields have passed."""
    return Rule(lambda _, value: wire_text(value) != "", SIGNATURE_MISSING, lambda _: True, demand=Demand("always"))


def wire_text(value: object) -> str:
    """Return a wire value as text: text unchanged, numbers as in JSON, everything else as empty text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value)
