"""Where an S3 object is asked for, and what is sent along."""

import pytest

from provider.errors import FileObjectInvalid
from provider.files.file_object import S3File
from provider.files.s3 import object_url, signed_get


def s3_file(endpoint: str, *, bucket: str = "data", key: str = "k", path_style: bool = False) -> S3File:
    return S3File(endpoint, bucket, key, "AKID", "SECRET", "eu-west-1", path_style)


@pytest.mark.parametrize(
    ("file", "url"),
    [
        (s3_file("https://s3.test"), "https://data.s3.test/k"),
        (s3_file("https://s3.test", path_style=True), "https://s3.test/data/k"),
        (s3_file("https://s3.test:9000/base/", path_style=True), "https://s3.test:9000/base/data/k"),
        (s3_file("https://s3.test:9000/base"), "https://data.s3.test:9000/base/k"),
        (s3_file("http://203.0.113.5:9000"), "http://203.0.113.5:9000/data/k"),
        (s3_file("http://[2001:db8::1]"), "http://[2001:db8::1]/data/k"),
        # A wildcard certificate covers one label; capitals and underscores are no host names.
        (s3_file("https://s3.test", bucket="my.data"), "https://s3.test/my.data/k"),
        (s3_file("https://s3.test", bucket="My_Data"), "https://s3.test/My_Data/k"),
        (s3_file("https://s3.test", bucket="../x?y#", path_style=True), "https://s3.test/..%2Fx%3Fy%23/k"),
        (s3_file("https://s3.test", key="a b/ü?&#%2e~+"), "https://data.s3.test/a%20b/%C3%BC%3F%26%23%252e~%2B"),
        (s3_file("https://s3.test", key="/a//b/"), "https://data.s3.test//a//b/"),
    ],
)
def test_the_object_has_one_url(file: S3File, url: str) -> None:
    assert object_url(file) == url


@pytest.mark.parametrize("endpoint", ["https://", "https://[x", "https://h:x", "https://u:p@h"])
def test_endpoints_without_a_plain_host_are_refused(endpoint: str) -> None:
    with pytest.raises(FileObjectInvalid):
        object_url(s3_file(endpoint))


def test_the_range_is_part_of_what_is_signed() -> None:
    request = signed_get(s3_file("https://s3.test"), (("Range", "bytes=0-9,20-"),))
    headers = dict(request.headers)
    assert headers["Range"] == "bytes=0-9,20-"
    assert "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date" in headers["Authorization"]
    assert set(headers) == {"Range", "Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"}
    assert set(dict(signed_get(s3_file("https://s3.test")).headers)) == set(headers) - {"Range"}


def test_keys_are_not_in_repr() -> None:
    request = signed_get(s3_file("https://s3.test"))
    assert "AKID" not in repr(request)
    assert "SECRET" not in str(request.headers)
