"""What may be kept, for how long, and under which name."""

import pytest

from provider.files.file_object import (
    ArweaveFile,
    FileObject,
    FtpFile,
    GraphqlFile,
    IpfsFile,
    S3File,
    Seller,
    SourceFile,
    UrlFile,
)
from provider.slices.version import Version, file_key, slice_prefix, version_of
from provider.upstream.memory_source import MemorySource
from provider.upstream.source import Headers

SECRET = b"s" * 32
URL = UrlFile("https://origin.example/a", party="did:op:1")
S3 = S3File("https://s3.example", "bucket", "key", "AK", "secret", party="did:op:1")


def answer(*fields: tuple[str, str], etag: str | None = '"v1"', status: int = 200, length: int = 10) -> MemorySource:
    source = MemorySource(bytes(length), content_type="text/csv")
    source.status = status
    tag = [] if etag is None else [("ETag", etag)]
    source.headers = Headers([("Content-Type", "text/csv"), *tag, *fields])
    return source


def version(*fields: tuple[str, str], **options: object) -> Version | None:
    return version_of(answer(*fields, **options), fresh_seconds=60.0)


def known(*fields: tuple[str, str], **options: object) -> Version:
    found = version(*fields, **options)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"Cache-Control": "no-store"},
        {"Cache-Control": 'max-age=5, Private="set-cookie"'},
        {"Vary": "*"},
        {"Vary": "Accept-Encoding, Authorization"},
        {"Accept-Ranges": "none"},
        # A version stays in memory.
        {"Content-Disposition": "x" * 4096},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_what_the_origin_forbids_is_not_kept(fields: dict[str, str]) -> None:
    assert version(*fields.items()) is None


def test_a_length_whose_slices_have_no_names_is_not_kept() -> None:
    longest, longer = (
        version(("Content-Range", f"bytes 0-0/{total}"), status=206, length=1) for total in (1 << 54, (1 << 54) + 1)
    )
    assert longest is not None
    assert longer is None


@pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1", '""', '"a", "b"'], ids=str)
def test_nothing_is_kept_without_one_strong_validator(etag: str | None) -> None:
    assert version(etag=etag) is None


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 60),
        ({"Cache-Control": "max-age=5"}, 5),
        ({"Cache-Control": 'max-age="5"'}, 5),
        ({"Cache-Control": "max-age=500, public"}, 60),
        ({"Cache-Control": "max-age=x"}, 60),
        ({"Cache-Control": "no-cache"}, 0),
        ({"Vary": "Origin, accept-encoding"}, 60),
    ],
    ids=str,
)
def test_the_origin_can_shorten_how_long_a_version_is_fresh(fields: dict[str, str], seconds: float) -> None:
    assert known(*fields.items()).fresh_seconds == seconds


def test_only_fields_that_a_reply_needs_are_kept() -> None:
    kept = known(("Set-Cookie", "a=b"), ("Content-Disposition", "attachment"), ("X-Amz-Id", "1"))
    assert dict(kept.headers) == {
        "Content-Type": "text/csv",
        "ETag": '"v1"',
        "Content-Disposition": "attachment",
        "Accept-Ranges": "bytes",
    }


@pytest.mark.parametrize(
    ("fields", "confirmed"),
    [({}, True), ({"ETag": '"v1"'}, True), ({"ETag": '"v2"'}, False), ({"Last-Modified": "x"}, False)],
    ids=str,
)
def test_a_304_that_names_another_version_confirms_nothing(fields: dict[str, str], confirmed: bool) -> None:
    assert known().confirmed_by(Headers(fields.items())) is confirmed


@pytest.mark.parametrize(
    "file",
    [
        UrlFile("https://origin.example/a", method="POST"),
        UrlFile("https://origin.example/a", headers=(("range", "bytes=0-9"),)),
        UrlFile("https://origin.example/a", headers=(("If-Modified-Since", "x"),)),
        GraphqlFile("https://origin.example/a", "{a}"),
        FtpFile("ftp://origin.example/a"),
    ],
    ids=lambda file: file.type,
)
def test_these_are_never_cached(file: FileObject) -> None:
    assert file_key(SECRET, file, {}) is None


def test_whatever_is_asked_is_in_the_key() -> None:
    files: list[FileObject] = [
        URL,
        UrlFile("https://origin.example/b", party="did:op:1"),
        UrlFile("https://origin.example/a", party="did:op:2"),
        UrlFile("https://origin.example/a", headers=(("A", "b"),), party="did:op:1"),
        UrlFile("https://origin.example/a", headers=(("Ab", ""),), party="did:op:1"),
        IpfsFile("a", party="did:op:1"),
        ArweaveFile("a", party="did:op:1"),
        S3,
        S3File("https://s3.example", "bucket", "key", "AK", "other", party="did:op:1"),
        S3File("https://s3.example", "bucket", "key", party="did:op:1"),
        S3File("https://s3.example", "bucket", "key", "AK", "secret", session_token="t", party="did:op:1"),
    ]
    keys = [file_key(SECRET, file, {}) for file in files]
    of_source = SourceFile("x", "a/b", Seller(1, "0xa", None))
    keys += [file_key(SECRET, of_source, {}, address=address) for address in ("https://a", "https://b")]
    keys += [file_key(SECRET, URL, {"a": "1"}), file_key(SECRET, URL, {"a": 1}), file_key(b"t" * 32, URL, {})]
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_the_same_question_has_the_same_key() -> None:
    assert file_key(SECRET, URL, {"a": 1}) == file_key(SECRET, UrlFile(URL.url, party=URL.party), {"a": 1})


def test_every_part_of_a_version_is_in_the_names_of_its_slices() -> None:
    key = file_key(SECRET, URL, {})
    assert key is not None
    versions = [
        known(),
        known(etag='"v2"'),
        known(length=11),
        known(("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")),
        known(("Content-Encoding", "gzip")),
    ]
    names = [slice_prefix(SECRET, key, found, 1 << 20) for found in versions]
    names.append(slice_prefix(SECRET, key, versions[0], 1 << 21))
    assert len(set(names)) == len(names)
    assert {name[:32] for name in names} == {key[:16].hex()}
