"""`[sources.NAME]` and PROVIDER_SOURCES: what is accepted, and each fault by its key."""

import json
from pathlib import Path

import pytest

from provider.config.load import read_sources
from provider.config.reader import Reader
from provider.files.sources.config import SourceConfig

OWNER = "0x" + "ab" * 20
FOLDER = {"path": "/data/climate", "publishers": [OWNER]}
BUCKET = {"url": "s3://my-bucket/a/b/", "publishers": [OWNER]}
URLS = {"url": "https://files.example/exports/", "publishers": [OWNER]}


def read(table: object, environ: dict[str, str] | None = None) -> tuple[tuple[SourceConfig, ...], list[str]]:
    reader = Reader(environ or {}, {"sources": table} if table is not None else {})
    sources = read_sources(reader)
    reader.note_unknown()
    return sources.all, reader.faults


def test_there_are_no_sources_by_default() -> None:
    assert read(None) == ((), [])
    assert read({}) == ((), [])


@pytest.mark.parametrize("source", [FOLDER, BUCKET, URLS], ids=["folder", "bucket", "urls"])
def test_a_source_of_the_file_or_of_the_environment(source: dict[str, object]) -> None:
    (found,), faults = read({"climate-2": source})
    assert (found.name, faults) == ("climate-2", [])
    assert (found.path, found.url) == (source.get("path"), source.get("url"))
    assert found.publishers == {"0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"}
    assert read(None, {"PROVIDER_SOURCES": json.dumps({"climate-2": source})}) == ((found,), [])


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("s3://my-bucket", ("my-bucket", "")),
        ("s3://my-bucket/", ("my-bucket", "")),
        ("s3://my-bucket/a/b/", ("my-bucket", "a/b")),
        ("https://files.example", None),
    ],
)
def test_bucket_and_folder(url: str, bucket: tuple[str, str] | None) -> None:
    (found,), _ = read({"x": {"url": url, "publishers": [OWNER]}})
    assert found.bucket == bucket


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("x", {**FOLDER, "publishers": []}, "x.publishers must list the addresses"),
        ("x", {**FOLDER, "publishers": ["0x12"]}, "x.publishers must list the addresses"),
        ("x", {**FOLDER, "publishers": ["*"]}, "x.publishers must list the addresses"),
        ("x", {"path": "/data"}, "x: publishers is missing"),
        ("x", {"publishers": [OWNER]}, "x: give one of path and url"),
        ("x", {**FOLDER, "url": "https://files.example"}, "x: give one of path and url"),
        ("x", {**FOLDER, "path": "data"}, "x.path must be an absolute path"),
        ("x", {**FOLDER, "path": 5}, "x.path must be text"),
        ("x", {**URLS, "url": "ftp://files.example"}, "x.url must be an http or https URL"),
        ("x", {**URLS, "url": "https://user:secret@files.example"}, "x.url must have no query"),
        ("x", {**URLS, "url": "https://files.example/?a=b"}, "x.url must have no query"),
        ("x", {**BUCKET, "url": "s3://"}, "x.url must look like s3://bucket"),
        ("x", {**FOLDER, "user": "u", "password_file": "/x"}, "x: password_file does not belong to this kind"),
        ("x", {**FOLDER, "cache": "always"}, "x: cache does not belong to this kind"),
        ("x", {**URLS, "cache": "often"}, "x.cache must be one of auto, always, never"),
        ("x", {**BUCKET, "headers": {"A": "b"}}, "x: headers does not belong to this kind"),
        ("x", {**URLS, "region": "eu"}, "x: region does not belong to this kind"),
        ("x", {**BUCKET, "access_key_id_file": "/x"}, "x: access_key_id_file and secret_access_key_file belong"),
        ("x", {**BUCKET, "session_token_file": "/x"}, "x: session_token_file belongs to an access key"),
        ("x", {**URLS, "user": "u"}, "x: user and password_file belong together"),
        ("x", {**URLS, "client_id": "u"}, "x: token_url and client_id and client_secret_file belong together"),
        ("x", {**URLS, "headers": {"A": "b\nc"}}, "x.headers must be a table of header fields"),
        ("x", {**FOLDER, "pubishers": [OWNER]}, "x: unknown key pubishers"),
        ("X", FOLDER, "a name must be lower-case"),
        ("../x", FOLDER, "a name must be lower-case"),
        ("", FOLDER, "a name must be lower-case"),
        ("x", "text", "x must be a table"),
    ],
)
def test_faults_name_source_and_key(name: str, source: object, fault: str) -> None:
    found, faults = read({name: source})
    assert found == ()
    assert any(fault in one for one in faults), faults
    assert "secret" not in "".join(faults).replace("secret_", "")


def test_sources_are_a_table() -> None:
    assert read([FOLDER]) == ((), ["PROVIDER_SOURCES (file: sources): must be a table of sources"])


def test_only_one_way_to_authenticate(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    both = {**URLS, "user": "u", "password_file": str(secret), "bearer_token_file": str(secret)}
    assert "x: give one of user, bearer_token_file, token_url" in read({"x": both})[1][0]


def test_a_secret_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    _, faults = read({"x": {**URLS, "bearer_token_file": missing}})
    assert faults == [f"sources.x.bearer_token_file: cannot read {missing}: No such file or directory"]


def test_a_secret_that_stands_in_place_of_its_file_is_not_shown() -> None:
    _, faults = read({"x": {**URLS, "bearer_token_file": "planted-token"}})
    assert faults
    assert "planted" not in faults[0]


def test_header_fields_are_not_shown() -> None:
    (found,), _ = read({"x": {**URLS, "headers": {"X-Api-Key": "planted-key"}}})
    assert found.headers == (("X-Api-Key", "planted-key"),)
    assert "planted" not in repr(found)
