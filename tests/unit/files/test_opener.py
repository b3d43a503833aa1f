"""Opening through the cache: one decryption, and every check at every opening."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from provider.errors import FilesUndecryptable
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from tests.unit.files.test_file_list import ACCOUNT, ASSET, BOUND, FILES, OTHER, SERVICE, UNBOUND, sealed


class Opener:
    """An opener that counts its decryptions."""

    def __init__(self, *, allow_unbound: bool = False, ttl_seconds: float = 30.0) -> None:
        self.decryptions = 0
        self.cache = PlaintextCache(max_entries=4, ttl_seconds=ttl_seconds, later=lambda *_: None)
        self._opener = FileListOpener(allow_unbound=allow_unbound, plaintexts=self.cache, timed=self._count)
        self.open = self._opener.open
        self.close = self._opener.close

    @contextmanager
    def _count(self) -> Iterator[None]:
        self.decryptions += 1
        yield


def test_a_list_is_decrypted_once() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    assert [opener.open(ACCOUNT, ASSET, service).items for _ in range(3)] == [tuple(FILES)] * 3
    assert opener.decryptions == 1


def test_without_a_lifetime_every_opening_decrypts() -> None:
    opener, service = Opener(ttl_seconds=0.0), replace(SERVICE, files=sealed(BOUND))
    assert [len(opener.open(ACCOUNT, ASSET, service)) for _ in range(2)] == [2, 2]
    assert opener.decryptions == 2


def test_a_new_ciphertext_is_decrypted() -> None:
    opener = Opener()
    opener.open(ACCOUNT, ASSET, replace(SERVICE, files=sealed(BOUND)))
    edited = replace(SERVICE, files=sealed({**BOUND, "files": FILES[:1]}))
    assert len(opener.open(ACCOUNT, ASSET, edited)) == 1


def test_a_kept_list_is_still_checked_against_the_asset() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    opener.open(ACCOUNT, ASSET, service)
    with pytest.raises(FilesUndecryptable):
        opener.open(ACCOUNT, replace(ASSET, data_nft=OTHER), service)
    with pytest.raises(FilesUndecryptable):
        opener.open(ACCOUNT, ASSET, replace(service, datatoken=OTHER))


def test_an_unbound_list_that_was_kept_still_needs_the_setting() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    opener.open(ACCOUNT, ASSET, service)
    with pytest.raises(FilesUndecryptable):
        opener.open(ACCOUNT, UNBOUND, service)


def test_a_list_that_is_refused_is_not_kept() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed({**BOUND, "nftAddress": OTHER}))
    with pytest.raises(FilesUndecryptable):
        opener.open(ACCOUNT, ASSET, service)
    assert len(opener.cache) == 0


def test_close_forgets_what_was_kept() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    opener.open(ACCOUNT, ASSET, service)
    opener.close()
    opener.open(ACCOUNT, ASSET, service)
    assert opener.decryptions == 2
