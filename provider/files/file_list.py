"""The encrypted `files` of a service: opened, and proven to belong to the asset (pure).

Hex text of an ECIES blob in, raw file objects out (`provider-api.md` section 7). What a file object means is
`file_object.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.assets.ddo import Asset, Service
from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt_to_buffer
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import FileIndexOutOfRange, FileListTooLong, FilesUndecryptable
from provider.wire.json import read_json

MAX_FILES = 100
"""Of one list, where all of them are worked on at a time. A single file of a longer list can still be consumed."""
# A hundred files have some 30 KiB.
_MAX_CHECKED_BYTES = 256 * 1024
# Longer numbers are no index of any list, and echoing them helps nobody.
_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileList:
    """Raw file objects as the publisher wrote them; they hold URLs and credentials, so `repr` hides them."""

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
    """Decrypt and check the file list of a service. Raises FilesUndecryptable; its `detail` names the reason."""
    require_allowed(asset, allow_unbound=allow_unbound)
    return read_files(decrypt_files(account, service.files), service, asset)


def require_allowed(asset: Asset, *, allow_unbound: bool) -> None:
    """Raise FilesUndecryptable for a list that may not be served, whatever is in it.

    Lists of DDO 4.0.0 name no asset, so a copied ciphertext could be sold by anybody; they are served only with
    `allow_unbound` [K18].
    """
    if not asset.files_are_bound and not allow_unbound:
        raise FilesUndecryptable(detail="unbound 4.0.0 file lists are not allowed by the settings")


def decrypt_files(account: Account, text: str) -> bytearray:
    """Plaintext of the encrypted `files` of a service. Raises FilesUndecryptable."""
    try:
        return decrypt_to_buffer(account, bytes.fromhex(text.removeprefix("0x")))
    except ValueError as error:
        raise FilesUndecryptable(detail=str(error)) from None


def read_files(plaintext: bytes | bytearray, service: Service, asset: Asset) -> FileList:
    """The list in a plaintext, proven to belong to service and asset. Raises FilesUndecryptable."""
    try:
        content = read_json(plaintext)
    except ValueError:
        raise FilesUndecryptable(detail="the plaintext is not JSON") from None
    files = _checked(content, service, asset) if asset.files_are_bound else content
    if not isinstance(files, list):
        raise FilesUndecryptable(detail=f"Expected a files list, got {type(files).__name__}.")
    return FileList(tuple(files))


def check_length(plaintext: bytes | bytearray) -> None:
    """Is this, if it is a file list at all, one that can be used? Raises FileListTooLong.

    Of a DDO, or anything else that may be encrypted, nothing is asked. A text that is too long to be looked at is
    refused where it is used.
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
    """The `files` value of a list that names the same datatoken and data NFT as service and asset."""
    if not isinstance(content, Mapping):
        raise FilesUndecryptable(detail=f"Expected an object, got {type(content).__name__}.")
    for key in ("datatokenAddress", "nftAddress", "files"):
        if key not in content:
            raise FilesUndecryptable(detail=f"Key {key} not found in files.")
    _same("datatoken", content["datatokenAddress"], service.datatoken)
    _same("dataNft", content["nftAddress"], asset.data_nft)
    return content["files"]


def _same(name: str, got: object, expected: str) -> None:
    """Raise unless `got` is the address `expected`, in any case. Only an address is worth a line in the log."""
    shown = to_checksum_address(str(got)) if is_address(got) else "no address"
    if shown != expected:
        raise FilesUndecryptable(detail=f"Mismatch of {name}. Got {shown} vs expected {expected}")
