"""File objects: the documented text for each fault, headers that cannot break a request, no secrets shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import FileObjectInvalid
from provider.files.file_object import UrlFile, parse_file_object

URL = "https://origin.test/data.csv?token=SECRET"
MALFORMED = "malformed file object."
MISSING = "malformed service files, missing required keys."
NO_NAME = "Invalid file name format. It was not possible to get the file name."


def url_file(**keys: object) -> dict[str, object]:
    return {"type": "url", "url": URL, **keys}


def test_url_file_with_everything() -> None:
    raw = url_file(
        method="post", headers={"X-Key": "SECRET", "Range": "bytes=0-9"}, userdata={"a": 1}, index=0, name="n"
    )
    file = parse_file_object(raw)
    assert file == UrlFile(
        url=URL, method="POST", headers=(("X-Key", "SECRET"), ("Range", "bytes=0-9")), userdata={"a": 1}
    )
    assert file.type == "url"
    assert "SECRET" not in repr(file)


@pytest.mark.parametrize("method", [None, "", "get", "GET", "Get"])
@pytest.mark.parametrize("headers", [None, "", {}])
def test_get_without_headers_is_the_default(method: object, headers: object) -> None:
    assert parse_file_object(url_file()) == UrlFile(url=URL)
    assert parse_file_object(url_file(method=method, headers=headers)) == UrlFile(url=URL)


@pytest.mark.parametrize(
    "url", ["http://a", "HTTPS://a/b c", "https://[::1]/ü", "  https://a/ \n", "http://u:p@a:8/?#x"]
)
def test_any_http_url_is_left_to_the_upstream_room(url: str) -> None:
    assert parse_file_object(url_file(url=url)).url == url.strip()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, "cannot decrypt files for this service."),
        ({}, "cannot decrypt files for this service."),
        ([], "cannot decrypt files for this service."),
        ("https://origin.test", MALFORMED),
        ([url_file()], MALFORMED),
        (7, MALFORMED),
        ({"url": URL}, MALFORMED),
        ({"type": None, "url": URL}, MALFORMED),
        ({"type": ["url"], "url": URL}, MALFORMED),
        ({"type": "sftp"}, "Unsupported type sftp"),
        ({"type": "nodePersistentStorage"}, "Unsupported type nodePersistentStorage"),
        ({"type": "URL", "url": URL}, "Unsupported type URL"),
        ({"type": "https://origin.test/SECRET"}, "Unsupported type (not shown)"),
        ({"type": "x" * 10_000}, "Unsupported type (not shown)"),
        ({"type": ""}, "Unsupported type (not shown)"),
        ({"type": "url"}, MISSING),
        (url_file(url=""), MISSING),
        (url_file(url="  "), MISSING),
        (url_file(url=None), MISSING),
        (url_file(url=7), MALFORMED),
        (url_file(url=[URL]), MALFORMED),
        (url_file(url="https://a/\r\nX: y"), MALFORMED),
        (url_file(url="https://a/\x00"), MALFORMED),
        (url_file(url="https://a/" + "x" * 20_000), MALFORMED),
        (url_file(url="ftp://a/b/c.csv"), NO_NAME),
        (url_file(url="file:///etc/passwd"), NO_NAME),
        (url_file(url="folder/data.csv"), NO_NAME),
        (url_file(url="data.csv"), MALFORMED),
        (url_file(url="javascript:alert(1)"), MALFORMED),
        (url_file(method="PUT"), "Unsafe method PUT."),
        (url_file(method="delete"), "Unsafe method delete."),
        (url_file(method="GET /SECRET HTTP/1.1"), "Unsafe method (not shown)."),
        (url_file(method=5), MALFORMED),
        (url_file(method=["GET"]), MALFORMED),
        (url_file(headers=["X: y"]), MALFORMED),
        (url_file(headers="X: y"), MALFORMED),
        (url_file(headers={"X": 5}), MALFORMED),
        (url_file(headers={"X": None}), MALFORMED),
        (url_file(headers={"X": "a\r\nHost: b"}), MALFORMED),
        (url_file(headers={"X": "a\nb"}), MALFORMED),
        (url_file(headers={"X": "a\rb"}), MALFORMED),
        (url_file(headers={"X": "a\x00b"}), MALFORMED),
        (url_file(headers={"X": "a\x7fb"}), MALFORMED),
        (url_file(headers={"X": "€"}), MALFORMED),
        (url_file(headers={"X": "\ud800"}), MALFORMED),
        (url_file(headers={"": "a"}), MALFORMED),
        (url_file(headers={"X Y": "a"}), MALFORMED),
        (url_file(headers={"X:": "a"}), MALFORMED),
        (url_file(headers={"X\r\nHost": "a"}), MALFORMED),
        (url_file(headers={"Ü": "a"}), MALFORMED),
        (url_file(headers={"X": "a" * 40_000}), MALFORMED),
        (url_file(headers={"Host": "a\r\nb"}), MALFORMED),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_each_fault_has_its_documented_text(raw: object, text: str) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        parse_file_object(raw)
    assert (str(caught.value), caught.value.http_status) == (text, 400)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "host",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "PROXY-CONNECTION",
    ],
)
def test_headers_that_steer_or_frame_are_left_out(name: str) -> None:
    file = parse_file_object(url_file(headers={name: "x", "X-Key": "k"}))
    assert file.headers == (("X-Key", "k"),)


def test_names_that_differ_in_case_count_once() -> None:
    file = parse_file_object(url_file(headers={"range": "bytes=0-1", "X": "1", "RANGE": "bytes=2-3"}))
    assert file.headers == (("RANGE", "bytes=2-3"), ("X", "1"))


def test_latin_1_values_and_tabs_pass_and_outer_space_goes() -> None:
    file = parse_file_object(url_file(headers={"X": "\t caf\u00e9\tau lait "}))
    assert file.headers == (("X", "caf\u00e9\tau lait"),)


@pytest.mark.parametrize("userdata", [None, [], "text", 5, [1]])
def test_userdata_that_is_no_object_is_ignored(userdata: object) -> None:
    assert parse_file_object(url_file(userdata=userdata)).userdata is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
almost = st.fixed_dictionaries(
    {"type": st.just("url") | json_values},
    optional={
        "url": st.just(URL) | st.text(max_size=30).map(lambda tail: "http://" + tail) | json_values,
        "method": st.sampled_from(["get", "POST"]) | json_values,
        "headers": st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4) | json_values,
        "userdata": json_values,
    },
)


@given(json_values | almost)
def test_result_is_safe_to_send_or_a_file_error(raw: object) -> None:
    try:
        file = parse_file_object(raw)
    except FileObjectInvalid:
        return
    assert file.method in ("GET", "POST")
    assert file.url.lower().startswith(("http://", "https://"))
    for name, value in file.headers:
        line = f"{name}: {value}".encode("latin-1")
        assert not {0, 10, 13} & set(line)
