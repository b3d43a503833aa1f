"""Declared parameters: what is undeclared, missing or of another type is refused by name."""

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.consumer_parameters import UNDECLARED, check_parameters, parse_consumer_parameters
from provider.errors import ValidationFailed

# The example of Ocean's documentation; markets write `options` as JSON text.
DECLARED = [
    {"name": "hometown", "type": "text", "label": "Hometown", "required": True, "default": "Nowhere"},
    {"name": "age", "type": "number", "required": False, "default": 0},
    {"name": "developer", "type": "boolean", "required": False, "default": False},
    {"name": "language", "type": "select", "options": [{"nodejs": "I love NodeJs"}, {"python": "I love Python"}]},
    {"name": "size", "type": "select", "options": '[{"s": "small"}, "m"]'},
]
HOME = {"hometown": "Tokyo"}


def failures(raw: object, values: Mapping[str, object] | None) -> Mapping[str, object]:
    with pytest.raises(ValidationFailed) as caught:
        check_parameters(parse_consumer_parameters(raw), values, field="userdata")
    return caught.value.errors


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"age": 12, "developer": True, "language": "python", "size": "m"},
        {"age": -1.5},
        {"age": "12"},
        {"age": "-1.5e3"},
        {"age": ".5"},
        {"age": 10**400 // 10**399},
        {"developer": "false"},
        {"age": None, "developer": None},
        {"hometown": ""},
    ],
    ids=str,
)
def test_declared_values_pass(values: dict[str, object]) -> None:
    check_parameters(parse_consumer_parameters(DECLARED), {**HOME, **values}, field="userdata")


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"hometown": 7}, "hometown", "must be a text."),
        ({"hometown": ["x"]}, "hometown", "must be a text."),
        ({"age": "twelve"}, "age", "must be a number."),
        ({"age": True}, "age", "must be a number."),
        ({"age": "nan"}, "age", "must be a number."),
        ({"age": "٣"}, "age", "must be a number."),
        ({"age": "1_0"}, "age", "must be a number."),
        ({"age": " 12\n"}, "age", "must be a number."),
        ({"age": ""}, "age", "must be a number."),
        ({"age": 10**400}, "age", "must be a number."),
        ({"age": {}}, "age", "must be a number."),
        ({"developer": 1}, "developer", "must be true or false."),
        ({"developer": "yes"}, "developer", "must be true or false."),
        ({"language": "ruby"}, "language", "must be one of the options."),
        ({"language": "I love Python"}, "language", "must be one of the options."),
        ({"size": ["s"]}, "size", "must be one of the options."),
    ],
    ids=str,
)
def test_another_type_is_refused_by_name(values: dict[str, object], field: str, message: str) -> None:
    expected = {f"userdata.{field}": [f"The userdata.{field} {message}"]}
    assert failures(DECLARED, {**HOME, **values}) == expected


@pytest.mark.parametrize("values", [None, {}, {"hometown": None}], ids=str)
def test_missing_required_value_is_refused_even_with_a_default(values: Mapping[str, object] | None) -> None:
    assert failures(DECLARED, values) == {"userdata.hometown": ["The userdata.hometown field is required."]}


def test_undeclared_value_is_refused_and_only_a_plain_name_is_repeated() -> None:
    told = ["This parameter is not declared by the publisher."]
    assert failures(DECLARED, {**HOME, "shoe-size": 1}) == {"userdata.shoe-size": told}
    assert failures(DECLARED, {**HOME, "<script>": 1, "x" * 65: 2}) == {"userdata.(not shown)": told}


def test_all_faults_are_told_at_once() -> None:
    assert failures(DECLARED, {"age": "x", "more": 1}).keys() == {
        "userdata.hometown",
        "userdata.age",
        "userdata.more",
    }


@pytest.mark.parametrize("raw", [None, [], {}, "x", 7, [7], [{"type": "text"}], [{"name": 7}]], ids=str)
def test_without_a_declaration_everything_passes(raw: object) -> None:
    assert parse_consumer_parameters(raw) == UNDECLARED
    check_parameters(UNDECLARED, {"anything": object()}, field="userdata")
    check_parameters(UNDECLARED, None, field="userdata")


def test_unknown_type_and_select_without_options_take_any_value() -> None:
    raw = [{"name": "a", "type": "date"}, {"name": "b", "type": "select", "options": "broken ["}, {"name": "c"}]
    check_parameters(parse_consumer_parameters(raw), {"a": 1, "b": "x", "c": []}, field="userdata")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "type", "required", "options"), json_values))),
    st.dictionaries(st.text(max_size=8), json_values, max_size=3),
)
def test_any_declaration_and_values_give_a_verdict(raw: object, values: dict[str, object]) -> None:
    with suppress(ValidationFailed):
        check_parameters(parse_consumer_parameters(raw), values, field="userdata")
