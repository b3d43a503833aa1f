"""Opens the file list of a service and tells how long it took; the seam where a cache of opened lists fits."""

import time
from collections.abc import Callable

from provider.assets.ddo import Asset, Service
from provider.chain.accounts import Account
from provider.files.file_list import FileList, open_files


def _unobserved(seconds: float) -> None:
    pass


class FileListOpener:
    """`allow_unbound` serves 4.0.0 lists, which are not bound to their asset [K18]; `observe` takes seconds."""

    def __init__(self, *, allow_unbound: bool, observe: Callable[[float], None] = _unobserved) -> None:
        self._allow_unbound = allow_unbound
        self._observe = observe

    def open(self, account: Account, asset: Asset, service: Service) -> FileList:
        """The decrypted list. Raises FilesUndecryptable."""
        started_at = time.perf_counter()
        files = open_files(account, service, asset, allow_unbound=self._allow_unbound)
        self._observe(time.perf_counter() - started_at)
        return files
