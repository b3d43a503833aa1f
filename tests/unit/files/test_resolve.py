"""File object and wishes to one request: user data, Range, encoding."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import FileObjectInvalid
from provider.files.file_object import UrlFile
from provider.files.resolve import resolve

URL = "https://origin.test/data.csv"
IDENTITY = ("Accept-Encoding", "identity")


def test_plain_get_asks_for_unencoded_bytes() -> None:
    request = resolve(UrlFile(URL), None, None)
    assert (request.method, request.url, request.headers, request.body) == ("GET", URL, (IDENTITY,), None)


def test_headers_of_the_file_object_are_sent() -> None:
    request = resolve(UrlFile(URL, headers=(("X-Key", "k"), ("Accept", "text/csv"))), None, None)
    assert request.headers == (("X-Key", "k"), ("Accept", "text/csv"), IDENTITY)


def test_encoding_of_the_file_object_gives_way_to_identity() -> None:
    assert resolve(UrlFile(URL, headers=(("accept-encoding", "gzip"),)), None, None).headers == (IDENTITY,)


def test_range_of_the_client_is_sent() -> None:
    assert resolve(UrlFile(URL), None, "bytes=5-9").headers == (IDENTITY, ("Range", "bytes=5-9"))


def test_range_of_the_file_object_wins() -> None:
    file = UrlFile(URL, headers=(("range", "bytes=0-1"),))
    assert resolve(file, None, "bytes=5-9").headers == (("range", "bytes=0-1"), IDENTITY)


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=-5", "bytes=0-1, 4-5", "Bytes=0-1"])
def test_ranges_of_rfc_9110_pass(text: str) -> None:
    # Passed in its normal form, which `provider.upstream.ranges` defines.
    assert ("Range", text.lower().replace(" ", "")) in resolve(UrlFile(URL), None, text).headers


@pytest.mark.parametrize(
    "text", ["", "bytes", "bytes=", "bytes=a-b", "bytes=0-1\r\nX: y", "bytes=٣-", "bytes=" + "1" * 999]
)
def test_range_that_is_none_is_ignored(text: str) -> None:
    assert resolve(UrlFile(URL), None, text).headers == (IDENTITY,)


@pytest.mark.parametrize(
    ("url", "userdata", "expected"),
    [
        (URL, {"a": "1"}, URL + "?a=1"),
        (URL, {}, URL),
        (URL + "?token=x%2Fy", {"a": "1"}, URL + "?token=x%2Fy&a=1"),
        (URL + "?", {"a": "1"}, URL + "?a=1"),
        (URL + "?x&", {"a": "1"}, URL + "?x&a=1"),
        (URL + "#part", {"a": "1"}, URL + "?a=1"),
        (URL + "?q=1#part?", {"a": "1"}, URL + "?q=1&a=1"),
        (URL, {"a b": "c&d=e#f"}, URL + "?a+b=c%26d%3De%23f"),
        (URL, {"name": "ü"}, URL + "?name=%C3%BC"),
        (URL, {"n": 1, "f": 1.5, "t": True, "gone": None}, URL + "?n=1&f=1.5&t=True"),
        (URL, {"big": 2**200}, f"{URL}?big={2**200}"),
        (URL, {"o": {"k": [1, 2]}, "l": ["x"]}, URL + "?o=%7B%22k%22%3A%5B1%2C2%5D%7D&l=%5B%22x%22%5D"),
        (URL, {"s": "\r\n"}, URL + "?s=%0D%0A"),
        (URL, {"s": "\ud800"}, URL + "?s=%3F"),
    ],
)
def test_user_data_of_a_get_is_added_to_its_query(url: str, userdata: dict[str, object], expected: str) -> None:
    request = resolve(UrlFile(url), userdata, None)
    assert (request.method, request.url, request.body) == ("GET", expected, None)


def test_user_data_of_a_post_is_its_json_body() -> None:
    request = resolve(UrlFile(URL + "?k=v", method="POST"), {"a": {"b": 2**70}, "c": None}, None)
    assert (request.method, request.url) == ("POST", URL + "?k=v")
    assert json.loads(request.body or b"") == {"a": {"b": 2**70}, "c": None}
    assert request.headers == (IDENTITY, ("Content-Type", "application/json"))


def test_content_type_of_the_file_object_is_kept() -> None:
    request = resolve(UrlFile(URL, method="POST", headers=(("content-type", "application/x"),)), {"a": 1}, None)
    assert request.headers == (("content-type", "application/x"), IDENTITY)


def test_post_without_user_data_has_an_empty_body() -> None:
    request = resolve(UrlFile(URL, method="POST"), None, None)
    assert (request.body, request.headers) == (b"", (IDENTITY,))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sent", [None, {}])
def test_user_data_of_the_file_object_counts_when_the_request_has_none(
    method: str, sent: dict[str, object] | None
) -> None:
    request = resolve(UrlFile(URL, method=method, userdata={"own": 1}), sent, None)
    assert "own" in request.url + (request.body or b"").decode()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_user_data_of_the_request_replaces_those_of_the_file_object(method: str) -> None:
    request = resolve(UrlFile(URL, method=method, userdata={"own": 1}), {"sent": 2}, None)
    text = request.url + (request.body or b"").decode()
    assert "sent" in text
    assert "own" not in text


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "value", [nested(40), nested(200_000), [float("nan")], {"a": float("inf")}], ids=["40", "200000", "nan", "inf"]
)
def test_user_data_that_cannot_be_json_are_refused(method: str, value: object) -> None:
    with pytest.raises(FileObjectInvalid):
        resolve(UrlFile(URL, method=method), {"a": value}, None)


def test_secrets_are_not_in_repr() -> None:
    file = UrlFile(URL + "?SECRET", method="POST", headers=(("X", "SECRET"),))
    assert "SECRET" not in repr(resolve(file, {"a": "SECRET"}, None))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=12), json_values, max_size=5), st.sampled_from(["GET", "POST"]), st.text())
def test_any_user_data_give_a_request_to_the_same_place_or_a_file_error(
    userdata: dict[str, object], method: str, range_header: str
) -> None:
    try:
        request = resolve(UrlFile(URL, method=method), userdata, range_header)
    except FileObjectInvalid:
        return
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "origin.test", "/data.csv", "")
    assert request.url.isascii()
    assert " " not in request.url


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=5))
def test_texts_arrive_as_they_were_sent(userdata: dict[str, str]) -> None:
    request = resolve(UrlFile(URL), userdata, None)
    assert parse_qsl(urlsplit(request.url).query, keep_blank_values=True) == list(userdata.items())
