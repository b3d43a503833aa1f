"""Opens the file list of a service, from the cache of plaintexts where that holds it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from provider.assets.ddo import Asset, Service
from provider.chain.accounts import Account
from provider.files.file_list import FileList, decrypt_files, read_files, require_allowed
from provider.files.plaintext_cache import PlaintextCache


class FileListOpener:
    """`allow_unbound` serves 4.0.0 lists, which are not bound to their asset [K18]; `timed` wraps each decryption.

    Only the plaintext is kept: whether the list belongs to the asset is checked at every opening.
    """

    def __init__(
        self,
        *,
        allow_unbound: bool,
        plaintexts: PlaintextCache,
        timed: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._allow_unbound = allow_unbound
        self._plaintexts = plaintexts
        self._timed = timed

    def open(self, account: Account, asset: Asset, service: Service) -> FileList:
        """The decrypted list. Raises FilesUndecryptable."""
        require_allowed(asset, allow_unbound=self._allow_unbound)
        # The ciphertext is part of the key, so an edited asset is seen as soon as its DDO is.
        key = (account.address, asset.did, service.id, service.files)
        plaintext = self._plaintexts.get(key)
        if plaintext is not None:
            return read_files(plaintext, service, asset)
        with self._timed():
            plaintext = decrypt_files(account, service.files)
        files = read_files(plaintext, service, asset)
        self._plaintexts.put(key, plaintext)
        return files

    def close(self) -> None:
        """Zero what is kept."""
        self._plaintexts.close()
