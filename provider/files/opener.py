"""Opens the file list of a service; the seam where a cache of opened lists fits."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from provider.assets.ddo import Asset, Service
from provider.chain.accounts import Account
from provider.files.file_list import FileList, open_files


class FileListOpener:
    """`allow_unbound` serves 4.0.0 lists, which are not bound to their asset [K18]; `timed` wraps each opening."""

    def __init__(
        self, *, allow_unbound: bool, timed: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._allow_unbound = allow_unbound
        self._timed = timed

    def open(self, account: Account, asset: Asset, service: Service) -> FileList:
        """The decrypted list. Raises FilesUndecryptable."""
        with self._timed():
            return open_files(account, service, asset, allow_unbound=self._allow_unbound)
