"""Opening through the cache: one decryption, and every check at every opening."""

from dataclasses import replace

import pytest

from provider.errors import FileIndexOutOfRange, FilesUndecryptable
from provider.files.file_object import UrlFile, parse_file_object
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.observability.metrics.traffic import Files
from tests.unit.files.test_file_list import ACCOUNT, ASSET, BOUND, FILES, OTHER, SERVICE, UNBOUND, sealed


class Opener:
    """An opener that counts its decryptions."""

    def __init__(self, *, allow_unbound: bool = False, ttl_seconds: float = 30.0) -> None:
        self._metrics = Files()
        self.cache = PlaintextCache(max_entries=4, ttl_seconds=ttl_seconds, later=lambda *_: None)
        self._opener = FileListOpener(allow_unbound=allow_unbound, plaintexts=self.cache, metrics=self._metrics)
        self.open = self._opener.open
        self.file = self._opener.file
        self.close = self._opener.close

    @property
    def decryptions(self) -> float:
        return sum(self._metrics.decrypt_seconds.values["files", "ok"][1:])


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


def test_a_file_is_read_once_as_long_as_its_list_is_kept() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    first, *others = [opener.file(ACCOUNT, ASSET, service, "1") for _ in range(3)]
    assert [file == first for file in others] == [True, True]
    assert others[0] is others[1]
    assert opener.decryptions == 1
    opener.close()
    assert opener.file(ACCOUNT, ASSET, service, "1") == first
    assert opener.decryptions == 2


def test_each_index_has_its_file() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    expected = [parse_file_object(raw, party=ASSET.did) for raw in FILES]
    for _ in range(2):
        assert [opener.file(ACCOUNT, ASSET, service, str(index)) for index in range(len(FILES))] == expected
        with pytest.raises(FileIndexOutOfRange):
            opener.file(ACCOUNT, ASSET, service, str(len(FILES)))


def test_a_file_that_was_read_is_not_had_through_another_asset() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    for _ in range(2):
        opener.file(ACCOUNT, ASSET, service, "0")
    with pytest.raises(FilesUndecryptable):
        opener.file(ACCOUNT, replace(ASSET, data_nft=OTHER), service, "0")
    with pytest.raises(FilesUndecryptable):
        opener.file(ACCOUNT, ASSET, replace(service, datatoken=OTHER), "0")
    with pytest.raises(FilesUndecryptable):
        opener.file(ACCOUNT, UNBOUND, service, "0")


def test_few_files_of_a_list_are_kept() -> None:
    files = [{"type": "url", "url": f"https://origin.test/{number}", "method": "GET"} for number in range(40)]
    opener, service = Opener(), replace(SERVICE, files=sealed({**BOUND, "files": files}))
    for number in (*range(40), *range(40)):
        file = opener.file(ACCOUNT, ASSET, service, str(number))
        assert isinstance(file, UrlFile)
        assert file.url.endswith(f"/{number}")
    (key,) = opener.cache._entries
    kept = opener.cache.get(key)
    assert kept is not None
    assert len(kept.read) == 16


def test_a_file_is_kept_once_however_its_index_is_written() -> None:
    opener, service = Opener(), replace(SERVICE, files=sealed(BOUND))
    expected = parse_file_object(FILES[0], party=ASSET.did)
    for index in ("00", "-0", "0", "000", "-00", "0"):
        assert opener.file(ACCOUNT, ASSET, service, index) == expected
    (key,) = opener.cache._entries
    kept = opener.cache.get(key)
    assert kept is not None
    assert list(kept.read.values()) == [expected]


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
