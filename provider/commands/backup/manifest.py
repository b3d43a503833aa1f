"""The manifest of a backup: the version that made it, the addresses of its keys, and the digests of its files."""

import hashlib
import os
import re
import stat
from dataclasses import asdict, dataclass, fields
from io import BufferedReader
from pathlib import Path

import orjson

from provider.errors import StoreError
from provider.wire.json import read_json

FILE_NAME = "manifest.json"
FORMAT = 1
_FILE_NAME = re.compile(r"[a-z]+\.(?:db|json|env)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest. It is written last, so a folder without it is no complete backup.

    Attributes:
        version: of the Provider that made it.
        made_at: ISO 8601, UTC.
        address: of the universal key, checksummed.
        chain_addresses: of the Provider's keys, by chain id; "" for a single chain.
        files: sha256 of each file of the folder, in hex.
    """

    version: str
    made_at: str
    address: str
    chain_addresses: dict[str, str]
    files: dict[str, str]
    format: int = FORMAT

    def text(self) -> str:
        """As JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and check the digests of the files. Raises StoreError."""
    path = folder / FILE_NAME
    try:
        with open_file(path) as file:
            manifest = parse_manifest(file.read())
        if manifest is None:
            raise StoreError(detail=f"{path}: not the manifest of a backup of this version")
        for name, digest in manifest.files.items():
            if sha256_of(folder / name) != digest:
                raise StoreError(detail=f"{folder / name}: not the file that was backed up")
    except FileNotFoundError as error:
        raise StoreError(detail=f"{error.filename}: no such file: this is not a backup, or an unfinished one") from None
    except OSError as error:
        raise StoreError(detail=f"{error.filename}: {error.strerror}") from None
    return manifest


def parse_manifest(text: bytes) -> Manifest | None:
    """The manifest in a file (pure); None if it has not the form that `Manifest.text` writes."""
    try:
        raw = read_json(text)
    except ValueError:
        return None
    if not isinstance(raw, dict) or set(raw) != {each.name for each in fields(Manifest)} or raw["format"] != FORMAT:
        return None
    texts = [raw[name] for name in ("version", "made_at", "address")]
    if not all(_is_plain(each) for each in texts):
        return None
    if not all(_is_of_texts(raw[name]) for name in ("chain_addresses", "files")):
        return None
    if not all(_FILE_NAME.fullmatch(name) for name in raw["files"]):
        return None
    return Manifest(**raw)


def _is_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(_is_plain(each) for item in value.items() for each in item)


def _is_plain(value: object) -> bool:
    """True for a text that a terminal shows and does not obey."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def sha256_of(path: Path) -> str:
    """In hex. Raises OSError, StoreError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_file(path: Path) -> BufferedReader:
    """Open a file of a backup for reading. Raises OSError, and StoreError for a pipe, a device or a folder."""
    # A pipe would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(detail=f"{path}: not a regular file")
    return open(descriptor, "rb")
