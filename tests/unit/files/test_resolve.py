"""File object and wishes to one request: user data, Range, encoding."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import FileObjectInvalid, UserdataInvalid
from provider.files.file_object import ArweaveFile, GraphqlFile, IpfsFile, UrlFile
from provider.files.resolve import resolve, resolve_gateway, resolve_graphql
from provider.files.userdata import NO_USERDATA, Userdata
from provider.upstream.wish import NO_WISH, Wish, read_wish

URL = "https://origin.test/data.csv"
IDENTITY = ("Accept-Encoding", "identity")


def test_plain_get_asks_for_unencoded_bytes() -> None:
    request = resolve(UrlFile(URL), {}, NO_WISH)
    assert (request.method, request.url, request.headers, request.body) == ("GET", URL, (IDENTITY,), None)


def test_headers_of_the_file_object_are_sent() -> None:
    request = resolve(UrlFile(URL, headers=(("X-Key", "k"), ("Accept", "text/csv"))), {}, NO_WISH)
    assert request.headers == (("X-Key", "k"), ("Accept", "text/csv"), IDENTITY)


def test_encoding_of_the_file_object_gives_way_to_identity() -> None:
    assert resolve(UrlFile(URL, headers=(("accept-encoding", "gzip"),)), {}, NO_WISH).headers == (IDENTITY,)


def test_range_of_the_client_is_sent() -> None:
    assert resolve(UrlFile(URL), {}, Wish("bytes=5-9")).headers == (IDENTITY, ("Range", "bytes=5-9"))


def test_range_of_the_file_object_wins() -> None:
    file = UrlFile(URL, headers=(("range", "bytes=0-1"),))
    assert resolve(file, {}, Wish("bytes=5-9")).headers == (("range", "bytes=0-1"), IDENTITY)


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=-5", "bytes=0-1, 4-5", "Bytes=0-1"])
def test_ranges_of_rfc_9110_pass(text: str) -> None:
    # Passed in its normal form, which `provider.upstream.ranges` defines.
    assert ("Range", text.lower().replace(" ", "")) in resolve(UrlFile(URL), {}, read_wish({"Range": text})).headers


@pytest.mark.parametrize(
    "text", ["", "bytes", "bytes=", "bytes=a-b", "bytes=0-1\r\nX: y", "bytes=٣-", "bytes=" + "1" * 999]
)
def test_range_that_is_none_is_ignored(text: str) -> None:
    assert resolve(UrlFile(URL), {}, read_wish({"Range": text})).headers == (IDENTITY,)


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
    request = resolve(UrlFile(url), userdata, NO_WISH)
    assert (request.method, request.url, request.body) == ("GET", expected, None)


def test_user_data_of_a_post_is_its_json_body() -> None:
    request = resolve(UrlFile(URL + "?k=v", method="POST"), {"a": {"b": 2**70}, "c": None}, NO_WISH)
    assert (request.method, request.url) == ("POST", URL + "?k=v")
    assert json.loads(request.body or b"") == {"a": {"b": 2**70}, "c": None}
    assert request.headers == (IDENTITY, ("Content-Type", "application/json"))


def test_content_type_of_the_file_object_is_kept() -> None:
    request = resolve(UrlFile(URL, method="POST", headers=(("content-type", "application/x"),)), {"a": 1}, NO_WISH)
    assert request.headers == (("content-type", "application/x"), IDENTITY)


def test_post_without_user_data_has_an_empty_body() -> None:
    request = resolve(UrlFile(URL, method="POST"), {}, NO_WISH)
    assert (request.body, request.headers) == (b"", (IDENTITY,))


def test_user_data_of_the_request_replace_those_of_the_file_object() -> None:
    assert Userdata({"sent": 2}).over({"own": 1}) == {"sent": 2}
    assert NO_USERDATA.over({"own": 1}) == {"own": 1}
    assert Userdata(is_broken=True).over({"own": 1}) == {"own": 1}
    assert NO_USERDATA.over(None) == {}


def test_files_that_need_user_data_refuse_broken_ones() -> None:
    assert Userdata({"sent": 2}).needed_over({"own": 1}) == {"sent": 2}
    with pytest.raises(UserdataInvalid):
        Userdata(is_broken=True).needed_over({"own": 1})


CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ("https://gw.test", f"https://gw.test/ipfs/{CID}"),
        ("https://gw.test/", f"https://gw.test/ipfs/{CID}"),
        ("https://gw.test/a/b", f"https://gw.test/a/b/ipfs/{CID}"),
        ("https://gw.test/a/b//", f"https://gw.test/a/b/ipfs/{CID}"),
        ("https://gw.test/ipfs", f"https://gw.test/ipfs/{CID}"),
        ("https://gw.test/ipfs/", f"https://gw.test/ipfs/{CID}"),
        ("https://gw.test/?token=k#x", f"https://gw.test/ipfs/{CID}?token=k"),
        ("http://10.0.0.1:8080", f"http://10.0.0.1:8080/ipfs/{CID}"),
    ],
)
def test_the_path_is_appended_to_a_gateway_with_one_slash(gateway: str, expected: str) -> None:
    """K31: nothing of the gateway's own path is lost."""
    request = resolve_gateway(IpfsFile(CID), gateway, {}, NO_WISH)
    assert (request.method, request.url, request.headers) == ("GET", expected, (IDENTITY,))


def test_arweave_ids_stand_directly_below_the_gateway() -> None:
    file = ArweaveFile("a" * 43 + "/folder/f.csv", headers=(("X-Key", "k"),))
    request = resolve_gateway(file, "https://ar.test/x?k=1", {"a": 2}, Wish("bytes=0-1"))
    assert request.url == f"https://ar.test/x/{'a' * 43}/folder/f.csv?k=1&a=2"
    assert request.headers == (("X-Key", "k"), IDENTITY, ("Range", "bytes=0-1"))


def test_graphql_is_posted_with_its_variables() -> None:
    file = GraphqlFile(URL, "query($id: ID!) { nft(id: $id) { symbol } }", headers=(("X-Key", "k"),))
    request = resolve_graphql(file, {"id": 2**70}, NO_WISH)
    assert (request.method, request.url) == ("POST", URL)
    assert json.loads(request.body or b"") == {"query": file.query, "variables": {"id": 2**70}}
    assert request.headers == (("X-Key", "k"), IDENTITY, ("Content-Type", "application/json"))
    assert json.loads(resolve_graphql(file, {}, NO_WISH).body or b"") == {"query": file.query}


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
        resolve(UrlFile(URL, method=method), {"a": value}, NO_WISH)


def test_secrets_are_not_in_repr() -> None:
    file = UrlFile(URL + "?SECRET", method="POST", headers=(("X", "SECRET"),))
    assert "SECRET" not in repr(resolve(file, {"a": "SECRET"}, NO_WISH))


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
        request = resolve(UrlFile(URL, method=method), userdata, read_wish({"Range": range_header}))
    except FileObjectInvalid:
        return
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "origin.test", "/data.csv", "")
    assert request.url.isascii()
    assert " " not in request.url


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=5))
def test_texts_arrive_as_they_were_sent(userdata: dict[str, str]) -> None:
    request = resolve(UrlFile(URL), userdata, NO_WISH)
    assert parse_qsl(urlsplit(request.url).query, keep_blank_values=True) == list(userdata.items())
