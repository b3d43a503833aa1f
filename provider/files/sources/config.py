"""Settings of named sources: the table `[sources.NAME]`, one for each (pure)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import FileObjectInvalid
from provider.files import file_fields
from provider.setting import (
    BadSettingError,
    boolean,
    choice,
    http_url,
    json_or_text,
    plain_text,
    settings_of,
    special,
    text,
    texts,
)

_Note = Callable[[str], None]
CacheHint = Literal["auto", "always", "never"]
_HINTS: tuple[CacheHint, ...] = ("auto", "always", "never")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_BUCKET = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/(.*))?", re.ASCII)
_HEADERS_EXAMPLE = {"X-Api-Key": "…"}


def _path(value: object) -> str:
    found = plain_text(value)
    if not found.startswith("/"):
        raise BadSettingError("must be an absolute path")
    return found


def _url(value: object) -> str:
    found = plain_text(value)
    if found.startswith("s3://"):
        if _BUCKET.fullmatch(found) is None:
            raise BadSettingError("must look like s3://bucket or s3://bucket/folder")
        return found
    parts = urlsplit(http_url(found))
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise BadSettingError("must have no query, no fragment and no user: credentials have keys of their own")
    return found


def _publishers(value: object) -> frozenset[str]:
    found = texts(value)
    if not found or not all(is_address(address) for address in found):
        raise BadSettingError("must list the addresses of those whose assets may sell these files")
    return frozenset(map(to_checksum_address, found))


def _headers(value: object) -> file_fields.Fields:
    try:
        return file_fields.headers(value)
    except FileObjectInvalid:
        raise BadSettingError("must be a table of header fields") from None


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source. A secret is in a file, which is read again when it changes; only `headers` may hold others."""

    # As the documents show it.
    SECTION: ClassVar = "sources.climate"

    name: str
    path: str | None = special(
        "",
        _path,
        help="A folder of this host: a local disk, NFS, or an rclone mount. Links inside are not followed.",
        examples=("/data/climate",),
    )
    url: str | None = special(
        "",
        _url,
        help="Instead of `path`: a bucket or a folder in it, or the beginning of http or https URLs. The host may be "
        "private. Its redirects may not lead to private hosts, unless `ALLOW_NON_PUBLIC_IP` is set.",
        examples=("s3://my-bucket/exports", "https://files.example/exports"),
    )
    publishers: frozenset[str] = special(
        "",
        _publishers,
        help="Required. Addresses of publishers. An asset may sell files of this source if one of these accounts owns "
        "its data NFT and one sent its newest document. Both are read from the chain.",
        examples=(["0x…"],),
    )
    cache: CacheHint = choice(
        "",
        "auto",
        _HINTS,
        help="For `url`: whether the slice cache keeps files of this source. `auto`: as all others. `always`: from the "
        "first request on. `never`: not at all, for hosts that are as fast as the disk.",
    )
    access_key_id_file: str | None = text("", help="S3: file with the access key id.", example="/run/secrets/s3_key_id")
    secret_access_key_file: str | None = text(
        "", help="S3: file with the secret access key.", example="/run/secrets/s3_secret_key"
    )
    session_token_file: str | None = text(
        "", help="S3: file with the session token of temporary keys.", example="/run/secrets/s3_session_token"
    )
    region: str = text("", "us-east-1", help="S3: region of the bucket.")
    endpoint: str | None = special(
        "",
        http_url,
        help="S3: URL of the store. Default: that of Amazon in the region.",
        examples=("https://minio.example",),
    )
    path_style: bool = boolean("", False, help="S3: the bucket is in the path, not in the host.")
    requester_pays: bool = boolean("", False, help="S3: the owner of the keys pays for the transfer.")
    user: str | None = text("", help="HTTP: user of basic authentication.", example="reader")
    password_file: str | None = text(
        "", help="HTTP: file with the password of `user`.", example="/run/secrets/password"
    )
    bearer_token_file: str | None = text("", help="HTTP: file with a bearer token.", example="/run/secrets/token")
    headers: file_fields.Fields = special(
        "", _headers, {}, help="HTTP: further header fields of each request.", examples=(_HEADERS_EXAMPLE,), secret=True
    )
    token_url: str | None = special(
        "",
        http_url,
        help="HTTP: token endpoint of OAuth 2 (client credentials, RFC 6749 section 4.4). Tokens are renewed before "
        "they expire.",
        examples=("https://login.example/oauth2/token",),
    )
    client_id: str | None = text("", help="HTTP: client of OAuth 2.", example="provider")
    client_secret_file: str | None = text(
        "", help="HTTP: file with the secret of `client_id`.", example="/run/secrets/client_secret"
    )
    scope: str | None = text("", help="HTTP: scope that OAuth 2 tokens are asked for.", example="files.read")

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and folder in it, for S3."""
        match = _BUCKET.fullmatch(self.url or "")
        return (match[1], (match[2] or "").strip("/")) if match is not None else None

    @property
    def secret_files(self) -> Mapping[str, str]:
        """Paths of the files with secrets, by key."""
        named = {name: getattr(self, name) for name in settings_of(SourceConfig) if name.endswith("_file")}
        return {name: path for name, path in named.items() if path is not None}


_S3 = frozenset(
    ("access_key_id_file", "secret_access_key_file", "session_token_file", "region", "endpoint", "path_style",
     "requester_pays")
)  # fmt: skip
_HTTP = frozenset(
    ("user", "password_file", "bearer_token_file", "headers", "token_url", "client_id", "client_secret_file", "scope")
)
# Keys that need one another, and of which ways only one may be chosen.
_TOGETHER = (
    ("access_key_id_file", "secret_access_key_file"),
    ("user", "password_file"),
    ("token_url", "client_id", "client_secret_file"),
)
_WAYS = ("user", "bearer_token_file", "token_url")


def parse_sources(value: object) -> tuple[SourceConfig, ...]:
    """The sources. Raises BadSettingError with every fault."""
    table = json_or_text(value)
    if not isinstance(table, Mapping):
        raise BadSettingError("must be a table of sources")
    faults: list[str] = []
    found = []
    for name, given in table.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            faults.append("a name must be lower-case letters, digits, - and _, 64 at most")
        elif not isinstance(given, Mapping):
            faults.append(f"{name} must be a table")
        else:
            found.append(_parse_source(name, given, partial(_note, faults, name)))
    if faults:
        raise BadSettingError("; ".join(faults))
    return tuple(found)


def _note(faults: list[str], name: str, fault: str) -> None:
    faults.append(f"{name}{fault}")


def _parse_source(name: str, given: Mapping[str, object], note: _Note) -> SourceConfig:
    declared = settings_of(SourceConfig)
    values: dict[str, object] = {}
    for key, value in given.items():
        if key not in declared:
            note(f": unknown key {file_fields.echo(key)}")
            continue
        try:
            values[key] = declared[key].parse(value)
        except BadSettingError as error:
            note(f".{key} {error}")
    _check_together(given, note)
    return SourceConfig(name=name, **values)  # type: ignore[arg-type]


def _check_together(given: Mapping[str, object], note: _Note) -> None:
    if ("path" in given) == ("url" in given):
        note(": give one of path and url")
    if "publishers" not in given:
        note(": publishers is missing: without it nobody may sell these files")
    is_s3 = str(given.get("url", "")).startswith("s3://")
    foreign = _HTTP if is_s3 else _S3 if "url" in given else _S3 | _HTTP | {"cache"}
    for key in sorted(foreign & given.keys()):
        note(f": {key} does not belong to this kind of source")
    for keys in _TOGETHER:
        if 0 < len(given.keys() & set(keys)) < len(keys):
            note(f": {' and '.join(keys)} belong together")
    if "session_token_file" in given and "access_key_id_file" not in given:
        note(": session_token_file belongs to an access key")
    if len(given.keys() & set(_WAYS)) > 1:
        note(f": give one of {', '.join(_WAYS)}")


@dataclass(frozen=True, slots=True)
class SourcesConfig:
    """All named sources."""

    all: tuple[SourceConfig, ...] = special(
        "PROVIDER_SOURCES",
        parse_sources,
        {},
        key="sources",
        help="Named sources: where files of type `source` come from. See docs/files.md. In the environment, a JSON "
        "object of all sources by name.",
    )
