"""Where a bucket is when its store says that it is elsewhere."""

import pytest

from provider.files.file_object import S3File
from provider.files.s3 import in_region, region_told
from provider.upstream.source import Headers

NAMED = Headers([("x-amz-bucket-region", "eu-west-1")])
NOTHING = Headers()
ERROR = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
LOCATION = "https://b.s3.eu-west-1.amazonaws.com/key"


def file_at(endpoint: str, region: str = "us-east-1") -> S3File:
    return S3File(endpoint, "b", "key", "id", "secret", region)


@pytest.mark.parametrize("status", [301, 307, 400])
def test_the_region_is_read_where_stores_name_it(status: int) -> None:
    assert region_told(status, NAMED) == "eu-west-1"
    assert region_told(status, NOTHING, error=ERROR) == "eu-west-1"
    assert region_told(status, NOTHING, location=LOCATION) == "eu-west-1"
    assert region_told(status, NOTHING, location="https://s3-eu-west-1.amazonaws.com/b/key") == "eu-west-1"


@pytest.mark.parametrize("status", [200, 206, 302, 403, 404, 500])
def test_other_answers_name_no_region(status: int) -> None:
    assert region_told(status, NAMED, error=ERROR, location=LOCATION) is None


@pytest.mark.parametrize("region", ["", "-", "EU", "a.b", "evil.example", "a/b", "a@b", "x" * 65, "eu-west-1\x00"])
def test_what_is_no_label_is_no_region(region: str) -> None:
    assert region_told(301, Headers([("x-amz-bucket-region", region)])) is None


@pytest.mark.parametrize("location", ["https://other.test/key", "https://b.s3.amazonaws.com/key", "file:///x", ""])
def test_other_hosts_name_no_region(location: str) -> None:
    assert region_told(307, NOTHING, location=location) is None


@pytest.mark.parametrize(
    ("endpoint", "moved"),
    [
        ("https://s3.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.us-east-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.ap-south-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3-us-west-2.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.dualstack.us-east-1.amazonaws.com", "https://s3.dualstack.eu-west-1.amazonaws.com"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "https://s3.eu-west-1.amazonaws.com.cn"),
        ("https://s3.us-east-1.store.test:8443/x", "https://s3.eu-west-1.store.test:8443/x"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_only_the_label_of_the_region_changes_in_the_endpoint(endpoint: str, moved: str) -> None:
    file = in_region(file_at(endpoint), "eu-west-1")
    assert file is not None
    assert (file.endpoint, file.region) == (moved, "eu-west-1")


def test_the_region_that_was_asked_is_not_asked_again() -> None:
    assert in_region(file_at("https://s3.eu-west-1.amazonaws.com", "eu-west-1"), "eu-west-1") is None
