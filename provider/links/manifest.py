"""Writes the answer to a request for links: JSON, Metalink 4 (RFC 5854), or plain lines (RFC 2483) (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote
from xml.etree import ElementTree

import orjson

from provider.links.facts import FileFacts

JSON = "application/json"
METALINK = "application/metalink4+xml"
URI_LIST = "text/uri-list"
_METALINK_NAMESPACE = "urn:ietf:params:xml:ns:metalink"


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file of a manifest. `facts`: None if its origin gave none."""

    index: int
    name: str
    url: str = field(repr=False)
    facts: FileFacts | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Links that were made together. `about`: the asset or the job, with its name on the wire."""

    about: tuple[str, str]
    expires_at: int
    files: Sequence[LinkedFile]

    def text(self, media_type: str) -> bytes:
        """Return the manifest as JSON, METALINK or URI_LIST."""
        if media_type == METALINK:
            return _metalink(self)
        if media_type == URI_LIST:
            return "".join(f"{file.url}\r\n" for file in self.files).encode()
        return _json(self)


def link_url(base: str, token: str, name: str) -> str:
    """Return the URL of a link. `base`: where consumers reach this server, without a slash at its end."""
    return f"{base}/d/{token}/{quote(name, safe='')}"


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return the names without duplicates: downloaders write all files into one folder.

    Upper and lower case count as the same, as on some file systems.
    """
    taken: set[str] = set()
    found = []
    for index, name in enumerate(names):
        path = PurePosixPath(name)
        candidate, number = name, index
        while candidate.lower() in taken:
            candidate = f"{path.stem}-{number}{path.suffix}"
            number += 1
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def _json(manifest: Manifest) -> bytes:
    kind, name = manifest.about
    expires = datetime.fromtimestamp(manifest.expires_at, UTC).isoformat().replace("+00:00", "Z")
    files = [_described(file) for file in manifest.files]
    return orjson.dumps({kind: name, "expires": expires, "files": files}, option=orjson.OPT_APPEND_NEWLINE)


def _described(file: LinkedFile) -> dict[str, object]:
    described: dict[str, object] = {"index": file.index, "name": file.name, "url": file.url}
    if file.facts is not None:
        described |= {
            "length": file.facts.length_bytes,
            "contentType": file.facts.content_type(file.name),
            "etag": file.facts.etag,
            "ranges": file.facts.ranges,
        }
    return described


def _metalink(manifest: Manifest) -> bytes:
    root = ElementTree.Element("metalink", xmlns=_METALINK_NAMESPACE)
    for file in manifest.files:
        node = ElementTree.SubElement(root, "file", name=file.name)
        if file.facts is not None and file.facts.length_bytes is not None:
            ElementTree.SubElement(node, "size").text = str(file.facts.length_bytes)
        ElementTree.SubElement(node, "url").text = file.url
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode").encode()
