"""Query and body become request values. Any input gives a value or a 4xx."""

from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import BodyNotObject, ProviderError, ValidationFailed
from provider.handlers.params import (
    DecryptRequest,
    DownloadRequest,
    FileInfoRequest,
    InitializeRequest,
    NonceRequest,
)
from provider.handlers.request_data import MAX_QUERY_FIELDS, parse_chain_id, parse_json, parse_query, request_data

JSON = "application/json"
PARSERS = (NonceRequest, DecryptRequest, FileInfoRequest, InitializeRequest, DownloadRequest)
FIELD_NAMES = sorted({field.name for parser in PARSERS for field in parser.FIELDS} | {"userdata", "checksum"})
ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ADDRESS, "url", "did:op:x"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


def test_any_query_parameter_makes_the_query_the_whole_input() -> None:
    assert request_data("a=1", JSON, b'{"b": 2}') == {"a": "1"}


def test_first_of_repeated_query_keys_wins() -> None:
    assert request_data("a=1&a=2", "", b"") == {"a": "1"}


def test_blank_query_value_is_present() -> None:
    assert request_data("a=", "", b"") == {"a": ""}


def test_json_body_serves_when_there_is_no_query() -> None:
    assert request_data("", "application/json; charset=utf-8", b'{"did": 2}') == {"did": 2}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("text/plain", b'{"did": 2}', id="other content type"),
        pytest.param("", b'{"did": 2}', id="no content type"),
        pytest.param(JSON, b'{"did": ', id="broken"),
        pytest.param(JSON, b"", id="empty"),
        pytest.param(JSON, b'{"did": NaN}', id="NaN is no JSON"),
        pytest.param(JSON, b'{"did": -Infinity}', id="infinity is no JSON"),
        pytest.param(JSON, b"\xff\xfe", id="not UTF-8"),
        pytest.param(JSON, b'{"did": "\\ud800"}', id="lone surrogate"),
        pytest.param(JSON, b"[" * 2000, id="deep nesting"),
        pytest.param(JSON, b'{"did": ' + b"9" * 5000 + b"}", id="endless integer"),
    ],
)
def test_what_is_no_json_object_counts_as_no_data(content_type: str, body: bytes) -> None:
    assert request_data("", content_type, body) == {}


@pytest.mark.parametrize("body", [b"[1]", b'"text"', b"7", b"true"])
def test_json_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BodyNotObject):
        request_data("", JSON, body)


def test_query_with_too_many_fields_is_refused() -> None:
    with pytest.raises(ValidationFailed):
        request_data("&".join(f"k{n}=1" for n in range(1000)), "", b"")


def test_large_integers_keep_every_digit() -> None:
    assert parse_json(b'{"nonce": 12345678901234567890123456789012345678901}') == {
        "nonce": 12345678901234567890123456789012345678901
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(137, 137, id="number"),
        pytest.param("137", 137, id="text"),
        pytest.param("0x89", None, id="hex"),
        pytest.param(-1, None, id="negative"),
        pytest.param(True, None, id="boolean"),
        pytest.param("9" * 30, None, id="too long"),
    ],
)
def test_chain_id_is_a_decimal_number(value: object, expected: int | None) -> None:
    assert parse_chain_id(value) == expected


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
def test_parsers_of_requests_answer_any_data_with_a_value_or_a_4xx(parser: type) -> None:
    @given(st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(), json_values))
    def check(data: dict[str, object]) -> None:
        refused_with_4xx(lambda: parser.parse(data))

    check()


@given(st.text(), st.sampled_from(["", JSON, "text/plain", "application/octet-stream"]), st.binary())
def test_reading_any_request_gives_data_or_a_4xx(query: str, content_type: str, body: bytes) -> None:
    refused_with_4xx(lambda: request_data(query, content_type, body))


def refused_with_4xx(act: Callable[[], object]) -> None:
    refusal: ProviderError | None = None
    try:
        act()
    except ProviderError as error:
        refusal = error
    assert refusal is None or 400 <= refusal.http_status < 500


@given(st.lists(st.text(alphabet="ab=&+%20fF\u00e9\u20ac\x00;", max_size=12), max_size=8).map("&".join))
def test_queries_are_read_as_the_standard_library_reads_them(query: str) -> None:
    assert parse_query(query) == dict(reversed(parse_qsl(query, keep_blank_values=True)))


@pytest.mark.parametrize(("fields", "accepted"), [(MAX_QUERY_FIELDS, True), (MAX_QUERY_FIELDS + 1, False)])
def test_number_of_query_fields_is_bounded(fields: int, accepted: bool) -> None:
    query = "&".join(f"a{number}=1" for number in range(fields))
    if accepted:
        assert len(parse_query(query)) == fields
    else:
        with pytest.raises(ValidationFailed):
            parse_query(query)
