"""User data of requests: an object, nothing, or broken."""

import pytest

from provider.files.userdata import NO_USERDATA, Userdata
from provider.handlers.downloads.file_params import read_userdata

BROKEN = Userdata(is_broken=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param('{"a": 1}', Userdata({"a": 1}), id="JSON text"),
        pytest.param({"a": 1}, Userdata({"a": 1}), id="object"),
        pytest.param(f'{{"a": {2**255}}}', Userdata({"a": 2**255}), id="every digit of an integer is kept"),
        pytest.param("{", BROKEN, id="undecodable text"),
        pytest.param("[1]", BROKEN, id="text of a list"),
        pytest.param('{"a": [' + "1," * 5000 + "1]}", BROKEN, id="text of too many values"),
        pytest.param([1], BROKEN, id="list"),
        pytest.param(0, BROKEN, id="number"),
        pytest.param("null", BROKEN, id="text of null"),
        pytest.param(None, NO_USERDATA, id="absent"),
        pytest.param("", NO_USERDATA, id="empty text"),
        pytest.param({}, NO_USERDATA, id="empty"),
    ],
)
def test_userdata_is_an_object_or_broken_or_nothing(value: object, expected: Userdata) -> None:
    assert read_userdata(value) == expected


def test_values_are_not_in_repr() -> None:
    assert "SECRET" not in repr(read_userdata({"a": "SECRET"}))
