"""Opens the file list of a service, from the cache of plaintexts where that holds it."""

from provider.assets.ddo import Asset, Service
from provider.crypto.accounts import Account
from provider.files.file_list import FileList, decrypt_files, read_files, require_allowed
from provider.files.file_object import FileObject, parse_file_object
from provider.files.plaintext_cache import PlaintextCache
from provider.observability.metrics.groups import Files

# Of one list; all of them together hold about as much as the list.
_MAX_READ_FILES = 16


class FileListOpener:
    """`allow_unbound` serves 4.0.0 lists, which are not bound to their asset [K18].

    The plaintext is kept, and beside it the files that were read of it for exactly this asset and service; for any
    other it is checked again whether the list belongs to them.
    """

    def __init__(
        self,
        *,
        allow_unbound: bool,
        plaintexts: PlaintextCache,
        metrics: Files,
    ) -> None:
        self._allow_unbound = allow_unbound
        self._plaintexts = plaintexts
        self._metrics = metrics

    def open(self, account: Account, asset: Asset, service: Service) -> FileList:
        """The decrypted list. Raises FilesUndecryptable."""
        require_allowed(asset, allow_unbound=self._allow_unbound)
        kept = self._plaintexts.get(_key(account, asset, service))
        if kept is not None:
            return read_files(kept.plaintext, service, asset)
        return self._decrypted(account, asset, service)

    def file(self, account: Account, asset: Asset, service: Service, index: str) -> FileObject:
        """The file at a wire index of the list. Raises as `open`, FileIndexOutOfRange and FileObjectInvalid."""
        require_allowed(asset, allow_unbound=self._allow_unbound)
        kept = self._plaintexts.get(_key(account, asset, service))
        if kept is None:
            return parse_file_object(self._decrypted(account, asset, service).at(index), party=asset.did)
        # With the key this is all that decides whether the list belongs to the asset.
        wanted = (index, service.datatoken, asset.data_nft, asset.files_are_bound)
        file = kept.read.get(wanted)
        if not isinstance(file, FileObject):
            file = parse_file_object(read_files(kept.plaintext, service, asset).at(index), party=asset.did)
            # One file has many indices: "0", "00", "-0".
            if len(kept.read) < _MAX_READ_FILES and index == str(int(index)):
                kept.read[wanted] = file
        return file

    def _decrypted(self, account: Account, asset: Asset, service: Service) -> FileList:
        with self._metrics.decrypting("files"):
            plaintext = decrypt_files(account, service.files)
        files = read_files(plaintext, service, asset)
        self._plaintexts.put(_key(account, asset, service), plaintext)
        return files

    def close(self) -> None:
        """Zero what is kept."""
        self._plaintexts.close()


def _key(account: Account, asset: Asset, service: Service) -> tuple[str, ...]:
    # The ciphertext is part of it, so an edited asset is seen as soon as its DDO is.
    return account.address, asset.did, service.id, service.files
