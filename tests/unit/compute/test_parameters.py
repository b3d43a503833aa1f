"""User data of a job, which come from anybody, also as JSON text."""

from dataclasses import replace

import pytest

from provider.assets.consumer_parameters import parse_consumer_parameters
from provider.compute.items import Algorithm
from provider.compute.parameters import check_job_parameters
from provider.errors import ValidationFailed
from tests.unit.compute.facts import resolved

DECLARED = parse_consumer_parameters([{"name": "a", "type": "number", "required": True}])


def check(userdata: object) -> None:
    item = resolved(userdata=userdata)
    item = replace(item, service=replace(item.service, consumer_parameters=DECLARED))
    check_job_parameters([item], None, Algorithm(None))


@pytest.mark.parametrize("userdata", [{"a": 1}, '{"a":1}', '{"a": "1"}'])
def test_an_object_or_its_text_is_taken(userdata: object) -> None:
    check(userdata)


@pytest.mark.parametrize("text", ["", "[1]", '{"a":NaN}', '{"a":"\ud800"', '{"a":1,"b":[' + "[]," * 100_000 + "1]}"])
def test_any_other_text_counts_as_no_values(text: str) -> None:
    """One of more values than any has would keep all threads while it is parsed."""
    with pytest.raises(ValidationFailed) as refused:
        check(text)
    assert refused.value.errors == {"dataset.userdata.a": ["The dataset.userdata.a field is required."]}
