"""Opens the file list of a service, from the cache of plaintexts if possible."""

from provider.assets.ddo import Asset, Service
from provider.crypto.accounts import Account
from provider.files.file_list import FileList, decrypt_files, read_files, require_allowed
from provider.files.file_object import FileObject, Seller, parse_file_object
from provider.files.plaintext_cache import PlaintextCache
from provider.observability.metrics.traffic import Files

# Per list. Together they take about as much memory as the list.
_MAX_READ_FILES = 16


class FileListOpener:
    """Opens file lists and caches their plaintexts.

    Beside a plaintext it caches the files read from it for exactly this asset and service. For any other it checks
    again that the list belongs to them.

    Args:
        allow_unbound: serve 4.0.0 lists, which are not bound to their asset [K18].
        plaintexts: the cache.
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
        """The file at a wire index of the list. Raises as `open`, and FileIndexOutOfRange, FileObjectInvalid."""
        require_allowed(asset, allow_unbound=self._allow_unbound)
        kept = self._plaintexts.get(_key(account, asset, service))
        if kept is None:
            return file_of(self._decrypted(account, asset, service).at(index), asset)
        # Together with the cache key, these values decide whether the list belongs to the asset.
        wanted = (index, service.datatoken, asset.data_nft, asset.files_are_bound)
        file = kept.read.get(wanted)
        if not isinstance(file, FileObject):
            file = file_of(read_files(kept.plaintext, service, asset).at(index), asset)
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
        """Zero all cached plaintexts."""
        self._plaintexts.close()


def file_of(raw: object, asset: Asset) -> FileObject:
    """The file object of an asset's list, which says whose file it is. Raises FileObjectInvalid."""
    return parse_file_object(raw, party=asset.did, seller=Seller(asset.chain_id, asset.data_nft, asset.metadata_tx_id))


def _key(account: Account, asset: Asset, service: Service) -> tuple[str, ...]:
    # The key includes the ciphertext, so an edited asset takes effect as soon as its DDO does.
    return account.address, asset.did, service.id, service.files
