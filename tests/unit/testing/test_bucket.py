"""The bucket of the demo's origin opens for what botocore signs with its key, and for nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from provider.testing.bucket import Key, is_signed

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEY = Key("first", "its secret")
PATH = "/archive/exports/a%20b.csv"


def signed(key: Key = KEY, method: str = "GET", at: datetime = NOW) -> dict[str, str]:
    """The fields of a request for part of the object, as botocore signs it."""
    auth = pytest.importorskip("botocore.auth", reason="the judge of signatures, botocore, needs the extra test-deploy")
    awsrequest = pytest.importorskip("botocore.awsrequest")
    credentials = pytest.importorskip("botocore.credentials")
    request = awsrequest.AWSRequest(method, f"http://store.test:9000{PATH}", headers={"Range": "bytes=0-9"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: at)
        auth.S3SigV4Auth(credentials.Credentials(key.key_id, key.secret), "s3", "eu-west-1").add_auth(request)
    return {"host": "store.test:9000"} | {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_signature_with_the_key_opens_it(method: str) -> None:
    assert is_signed(KEY, method, PATH, signed(method=method), now=NOW)


@pytest.mark.parametrize("key", [Key("first", "another secret"), Key("second", "its secret")])
def test_another_key_does_not(key: Key) -> None:
    assert not is_signed(KEY, "GET", PATH, signed(key), now=NOW)


def test_a_signature_is_good_for_one_request() -> None:
    fields = signed()
    assert not is_signed(KEY, "HEAD", PATH, fields, now=NOW)
    assert not is_signed(KEY, "GET", "/archive/exports/b.csv", fields, now=NOW)
    for name in ("host", "range", "x-amz-date", "x-amz-content-sha256"):
        assert not is_signed(KEY, "GET", PATH, fields | {name: "20260304T050608Z"}, now=NOW), name


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_ends(minutes: int) -> None:
    assert not is_signed(KEY, "GET", PATH, signed(at=NOW + timedelta(minutes=minutes)), now=NOW)


@pytest.mark.parametrize("field", ["", "Basic Zmlyc3Q6", "AWS4-HMAC-SHA256 Credential=first"])
def test_no_signature_opens_nothing(field: str) -> None:
    assert not is_signed(KEY, "GET", PATH, {"authorization": field}, now=NOW)
    assert not is_signed(KEY, "GET", PATH, {}, now=NOW)
