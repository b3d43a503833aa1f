"""Decides what the cache may keep, and names it (pure).

A file's key is a keyed digest of everything that is asked of its origin. A version is the description of the file in
the origin's answer: length, strong validator, coding. Both together name a slice. So an asset that names the same
address without the credentials of another asset never finds that asset's bytes.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from provider.files.file_object import ArweaveFile, FileObject, IpfsFile, S3File, SourceFile, UrlFile
from provider.files.userdata import as_json
from provider.upstream.resume import Rest, rest_of
from provider.upstream.source import Headers, Source

# The fields of an answer that a reply is made from (`streaming/headers.py`). `Date` makes a Last-Modified comparable.
_KEPT = frozenset(("content-type", "etag", "last-modified", "content-disposition", "content-encoding", "date"))
# Versions of many files are kept in memory, and anybody can be a publisher.
_MAX_KEPT_CHARS = 2048
# The number of a slice has 12 digits at most (`directory.py`). A file with another name would never be found again, and
# so never be evicted. Slices have 64 KiB at least.
_MAX_TOTAL_BYTES = 1 << 54
# Fields by which an answer may differ between requests that the key cannot tell apart. None of these is ever sent to an
# origin with another value, and S3 names the last three for buckets with CORS rules.
_HARMLESS_VARY = frozenset(
    ("accept-encoding", "origin", "access-control-request-headers", "access-control-request-method")
)
# A publisher's own range or condition makes another file of it.
_CONDITIONS = frozenset(("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file.

    Attributes:
        whole: the whole body, with its strong validator.
        modified: its Last-Modified, "" if the origin states none. It takes part in the comparison, so that an entity
            tag which stays the same while the file changes is noticed if the date changes.
        headers: fields of the origin's answer that a reply needs.
        fresh_seconds: how long it may be served without asking the origin again.
        distance_seconds: how long the origin took to answer.
    """

    whole: Rest
    modified: str
    headers: Headers
    fresh_seconds: float
    distance_seconds: float = 0.0

    def is_in(self, answer: Source, rest: Rest) -> bool:
        """True if `answer` holds exactly the bytes `rest` of this version.

        A 206 to a request with If-Range may leave out Last-Modified (RFC 9110 section 15.3.7).
        """
        same_date = answer.headers.get("Last-Modified") in (None, self.modified or None)
        if answer.status == 200 and rest == self.whole:
            found = rest_of(answer)
            return same_date and found == rest and not _is_forbidden(answer.headers)
        return same_date and rest.is_in(answer) and not _is_forbidden(answer.headers)

    def same_as(self, other: "Version") -> bool:
        """True if both are the same version."""
        return (self.whole, self.modified) == (other.whole, other.modified)

    def confirmed_by(self, headers: Headers) -> bool:
        """True if a 304 with these fields confirms this version. A 304 that names another one confirms nothing."""
        stated = (headers.get("ETag"), headers.get("Last-Modified"))
        return stated[0] in (None, self.headers.get("ETag")) and stated[1] in (None, self.modified or None)


def file_key(secret: bytes, file: FileObject, values: Mapping[str, object], *, address: str = "") -> bytes | None:
    """Key of a file: a digest of all that is asked of its origin. None for files that are never cached.

    Args:
        secret: 32 bytes, the same on every worker.
        file: the file object, whose asset's DID is a part of the key.
        values: the user data that go into the request.
        address: that of the named source, for files of type `source`.
    """
    if not isinstance(file, UrlFile | IpfsFile | ArweaveFile | S3File | SourceFile):
        return None
    if isinstance(file, UrlFile) and file.method != "GET":
        return None
    if not isinstance(file, S3File | SourceFile) and any(name.lower() in _CONDITIONS for name, _ in file.headers):
        return None
    asked = {item.name: getattr(file, item.name) for item in fields(file) if item.compare and item.name != "userdata"}
    return _digest(secret, as_json({"type": file.type, "asked": asked, "userdata": dict(values), "address": address}))


def slice_prefix(secret: bytes, key: bytes, version: Version, slice_bytes: int) -> str:
    """Common part of the names of all slices of this version: 48 hex digits."""
    whole = version.whole
    identity = [whole.validated_by, whole.validator, version.modified, whole.total_bytes, whole.coding]
    return key[:16].hex() + _digest(secret, as_json([key.hex(), identity, slice_bytes]))[:8].hex()


def version_of(answer: Source, *, fresh_seconds: float, distance_seconds: float = 0.0) -> Version | None:
    """The version that `answer` (200 or 206) is of. None if it must not be kept.

    An answer is kept only if it has a credible length, a strong validator and short fields, does not vary, and is
    neither `no-store` nor `private` (RFC 9111 section 3: all who bought the file share this cache).
    """
    part, headers = rest_of(answer), answer.headers
    if part is None or part.total_bytes > _MAX_TOTAL_BYTES or _is_forbidden(headers):
        return None
    kept = [(name, value) for name, value in headers if name.lower() in _KEPT]
    if sum(len(value) for _, value in kept) > _MAX_KEPT_CHARS:
        return None
    return Version(
        whole=replace(part, first=0, last=part.total_bytes - 1),
        modified=headers.get("Last-Modified") or "",
        headers=Headers([*kept, ("Accept-Ranges", "bytes")]),
        fresh_seconds=_fresh_seconds(headers, fresh_seconds),
        distance_seconds=distance_seconds,
    )


def _is_forbidden(headers: Headers) -> bool:
    names = {directive.partition("=")[0] for directive in headers.tokens("Cache-Control")}
    return not names.isdisjoint(("no-store", "private")) or not _HARMLESS_VARY.issuperset(headers.tokens("Vary"))


def _fresh_seconds(headers: Headers, most_seconds: float) -> float:
    for directive in headers.tokens("Cache-Control"):
        name, _, value = directive.partition("=")
        if name == "no-cache":
            return 0.0
        if name == "max-age" and _SECONDS.fullmatch(value.strip('"')):
            most_seconds = min(most_seconds, float(value.strip('"')))
    return most_seconds


def _digest(secret: bytes, text: str) -> bytes:
    return hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256")
