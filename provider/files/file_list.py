"""The encrypted `files` of a service: decrypts the list and proves that it belongs to the asset (pure).

Hex text of an ECIES blob in, raw file objects out (`provider-api.md` section 7). `file_object.py` parses a file object.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.assets.ddo import Asset, Service
from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt_to_buffer
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import FileIndexOutOfRange, FileListTooLong, FilesUndecryptable
from provider.wire.json import MAX_VALUES, is_crowded, read_json
from provider.wire.text import hex_bytes

MAX_FILES = 100
"""Limit for requests that handle all files of a list at once. A single file of a longer list can still be consumed."""
# A hundred files take about 30 KiB.
_MAX_CHECKED_BYTES = 256 * 1024
# A longer number is not an index of any list, and repeating it would not help the client.
_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileList:
    """Raw file objects as the publisher wrote them. They contain URLs and credentials, so `repr` hides them."""

    items: tuple[object, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.items)

    def at(self, index: int | str) -> object:
        """File object at a wire index (number or decimal text). Raises FileIndexOutOfRange [K20]."""
        text = str(index)
        if isinstance(index, bool) or _INDEX.fullmatch(text) is None:
            raise FileIndexOutOfRange
        if not 0 <= int(text) < len(self.items):
            raise FileIndexOutOfRange(f"No such fileIndex {text}")
        return self.items[int(text)]


def open_files(account: Account, service: Service, asset: Asset, *, allow_unbound: bool) -> FileList:
    """Decrypt and check the file list of a service. Raises FilesUndecryptable, whose `detail` gives the reason."""
    require_allowed(asset, allow_unbound=allow_unbound)
    return read_files(decrypt_files(account, service.files), service, asset)


def require_allowed(asset: Asset, *, allow_unbound: bool) -> None:
    """Raise FilesUndecryptable if the list may not be served, whatever it contains.

    Lists of DDO 4.0.0 do not name their asset, so anyone could sell a copied ciphertext. They are served only with
    `allow_unbound` [K18].
    """
    if not asset.files_are_bound and not allow_unbound:
        raise FilesUndecryptable(detail="unbound 4.0.0 file lists are not allowed by the settings")


def decrypt_files(account: Account, text: str) -> bytearray:
    """Decrypt the `files` of a service. Raises FilesUndecryptable."""
    sealed = hex_bytes(text.removeprefix("0x"))
    if sealed is None:
        raise FilesUndecryptable(detail="the list is not hex digits")
    try:
        return decrypt_to_buffer(account, sealed)
    except ValueError as error:
        raise FilesUndecryptable(detail=str(error)) from None


def read_files(plaintext: bytes | bytearray, service: Service, asset: Asset) -> FileList:
    """Parse a plaintext and prove that it belongs to service and asset. Raises FilesUndecryptable."""
    if is_crowded(plaintext):
        # It is parsed again and again, also for strangers.
        raise FilesUndecryptable(detail=f"more than {MAX_VALUES} values are no file list")
    try:
        content = read_json(plaintext)
    except ValueError:
        raise FilesUndecryptable(detail="the plaintext is not JSON") from None
    files = _checked(content, service, asset) if asset.files_are_bound else content
    if not isinstance(files, list):
        raise FilesUndecryptable(detail=f"Expected a files list, got {type(files).__name__}.")
    return FileList(tuple(files))


def check_length(plaintext: bytes | bytearray) -> None:
    """Raise FileListTooLong if the plaintext is a file list with too many files to be used.

    Anything else that may be encrypted, such as a DDO, passes. A text that is too long to inspect is refused when it is
    used.
    """
    if len(plaintext) > _MAX_CHECKED_BYTES or plaintext.count(b",") < MAX_FILES:
        return
    try:
        content = read_json(plaintext)
    except ValueError:
        return
    files = content.get("files") if isinstance(content, dict) else content
    if isinstance(files, list) and len(files) > MAX_FILES:
        raise FileListTooLong


def _checked(content: object, service: Service, asset: Asset) -> object:
    """The `files` value of a list that names the datatoken of the service and the data NFT of the asset."""
    if not isinstance(content, Mapping):
        raise FilesUndecryptable(detail=f"Expected an object, got {type(content).__name__}.")
    for key in ("datatokenAddress", "nftAddress", "files"):
        if key not in content:
            raise FilesUndecryptable(detail=f"Key {key} not found in files.")
    _same("datatoken", content["datatokenAddress"], service.datatoken)
    _same("dataNft", content["nftAddress"], asset.data_nft)
    return content["files"]


def _same(name: str, got: object, expected: str) -> None:
    """Raise unless `got` is the address `expected`, in any case. Only an address is shown in the log."""
    shown = to_checksum_address(str(got)) if is_address(got) else "no address"
    if shown != expected:
        raise FilesUndecryptable(detail=f"Mismatch of {name}. Got {shown} vs expected {expected}")
