"""File lists: bound to asset and datatoken, indexes, hostile plaintexts."""

import json
from dataclasses import replace

import ecies
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.ddo import Asset
from provider.crypto.accounts import Account
from provider.crypto.ecies import encrypt
from provider.errors import FileIndexOutOfRange, FileListTooLong, FilesUndecryptable
from provider.files.file_list import MAX_FILES, FileList, check_length, open_files
from tests.support.assets import ASSET, DATATOKEN, NFT, SERVICE

ACCOUNT = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
OTHER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
FILES = [{"type": "url", "url": "https://origin.test/SECRET"}, {"type": "url", "url": "https://origin.test/2"}]
BOUND = {"datatokenAddress": DATATOKEN, "nftAddress": NFT, "files": FILES}
UNBOUND = replace(ASSET, version="4.0.0")


def sealed(plaintext: object) -> str:
    data = plaintext if isinstance(plaintext, bytes) else json.dumps(plaintext).encode()
    return "0x" + encrypt(ACCOUNT.public_key, data).hex()


def opened(files: str, asset: Asset = ASSET, *, allow_unbound: bool = False) -> FileList:
    return open_files(ACCOUNT, replace(SERVICE, files=files), asset, allow_unbound=allow_unbound)


@pytest.mark.parametrize("version", ["4.1.0", "4.3.0", "4.7.0", "5.0.0", "9"])
def test_list_bound_to_this_asset_opens(version: str) -> None:
    assert opened(sealed(BOUND), replace(ASSET, version=version)).items == tuple(FILES)


def test_addresses_are_compared_in_any_case() -> None:
    bound = {"datatokenAddress": DATATOKEN.lower(), "nftAddress": "0x" + NFT[2:].upper(), "files": FILES}
    assert len(opened(sealed(bound))) == 2


def test_list_written_by_eciespy_opens_without_prefix_and_in_upper_case() -> None:
    text = ecies.encrypt(ACCOUNT.public_key.hex(), json.dumps(BOUND).encode()).hex()
    assert opened(text).items == opened(text.upper()).items == tuple(FILES)


def test_a_list_of_more_values_than_any_has_is_not_parsed() -> None:
    """It is parsed again and again, also for strangers: one of 2.3 MB took 0.16 s each time."""
    with pytest.raises(FilesUndecryptable) as caught:
        opened(sealed({**BOUND, "files": [[]] * 100_000}))
    assert "values" in (caught.value.detail or "")


def test_unbound_list_opens_only_when_the_settings_allow_it() -> None:
    assert opened(sealed(FILES), UNBOUND, allow_unbound=True).items == tuple(FILES)
    with pytest.raises(FilesUndecryptable) as caught:
        opened(sealed(FILES), UNBOUND)
    assert "settings" in (caught.value.detail or "")


def test_bound_list_in_a_downgraded_document_is_refused() -> None:
    """Else a copied ciphertext would be sold under a DDO that calls itself 4.0.0."""
    with pytest.raises(FilesUndecryptable):
        opened(sealed(BOUND), UNBOUND, allow_unbound=True)


def test_unbound_list_in_a_later_document_is_refused() -> None:
    with pytest.raises(FilesUndecryptable):
        opened(sealed(FILES), ASSET, allow_unbound=True)


@pytest.mark.parametrize(
    ("plaintext", "reason"),
    [
        ({key: BOUND[key] for key in BOUND if key != "files"}, "Key files not found"),
        ({key: BOUND[key] for key in BOUND if key != "nftAddress"}, "Key nftAddress not found"),
        ({key: BOUND[key] for key in BOUND if key != "datatokenAddress"}, "Key datatokenAddress not found"),
        (BOUND | {"datatokenAddress": OTHER}, "Mismatch of datatoken"),
        (BOUND | {"nftAddress": OTHER}, "Mismatch of dataNft"),
        (BOUND | {"nftAddress": None}, "Mismatch of dataNft"),
        (BOUND | {"nftAddress": [NFT]}, "Mismatch of dataNft"),
        (BOUND | {"datatokenAddress": "SECRET"}, "Mismatch of datatoken"),
        (BOUND | {"files": {"0": FILES[0]}}, "Expected a files list"),
        (BOUND | {"files": None}, "Expected a files list"),
        ("text", "Expected an object"),
        (None, "Expected an object"),
        (b"", "not JSON"),
        (b"SECRET", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"files":nan}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_reason_is_logged_and_not_shown(plaintext: object, reason: str) -> None:
    with pytest.raises(FilesUndecryptable) as caught:
        opened(sealed(plaintext))
    assert str(caught.value) == "Unable to get dataset files"
    assert reason in (caught.value.detail or "")
    assert "SECRET" not in (caught.value.detail or "")


@pytest.mark.parametrize(
    "files",
    ["", "0x", "0xzz", "not hex", "٠" * 200, "04" * 97, sealed(BOUND)[:-2], "0x" + sealed(BOUND)],
    ids=["empty", "nothing", "no hex digits", "no hex", "other digits", "no point", "cut", "prefix twice"],
)
def test_what_is_no_blob_is_refused(files: str) -> None:
    with pytest.raises(FilesUndecryptable, match=r"^Unable to get dataset files$"):
        opened(files)


def test_blob_for_another_provider_is_refused() -> None:
    stranger = Account.from_hex("5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8")
    with pytest.raises(FilesUndecryptable):
        open_files(stranger, replace(SERVICE, files=sealed(BOUND)), ASSET, allow_unbound=True)


@pytest.mark.parametrize(("index", "position"), [(0, 0), (1, 1), ("0", 0), ("1", 1), ("01", 1)])
def test_index_is_a_number_or_its_text(index: int | str, position: int) -> None:
    assert opened(sealed(BOUND)).at(index) == FILES[position]


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (2, "No such fileIndex 2"),
        ("2", "No such fileIndex 2"),
        (-1, "No such fileIndex -1"),
        ("-1", "No such fileIndex -1"),
        (10**30, "No such fileIndex"),
        ("9" * 10_000, "No such fileIndex"),
        ("", "No such fileIndex"),
        ("abc", "No such fileIndex"),
        (" 1", "No such fileIndex"),
        ("1.0", "No such fileIndex"),
        ("١", "No such fileIndex"),
        ("1\n", "No such fileIndex"),
        (True, "No such fileIndex"),
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_any_other_index_is_refused_with_the_documented_text(index: int | str, text: str) -> None:
    files = opened(sealed(BOUND))
    with pytest.raises(FileIndexOutOfRange) as caught:
        files.at(index)
    assert str(caught.value) == text


def test_empty_list_has_no_index() -> None:
    with pytest.raises(FileIndexOutOfRange):
        opened(sealed(BOUND | {"files": []})).at(0)


def test_urls_are_not_in_repr() -> None:
    assert "SECRET" not in repr(opened(sealed(BOUND)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
almost = st.fixed_dictionaries(
    {},
    optional={"datatokenAddress": st.just(DATATOKEN) | json_values, "nftAddress": json_values, "files": json_values},
)


@given(json_values | almost, st.sampled_from(["4.0.0", "4.1.0"]))
def test_nothing_but_files_undecryptable_is_raised_for_any_json(plaintext: object, version: str) -> None:
    try:
        files = opened(sealed(plaintext), replace(ASSET, version=version), allow_unbound=True)
    except FilesUndecryptable:
        return
    assert isinstance(plaintext, list)
    assert len(files) == len(plaintext)


@given(st.binary(max_size=200), st.text(max_size=200))
def test_nothing_but_files_undecryptable_is_raised_for_any_bytes(data: bytes, text: str) -> None:
    for files in (sealed(data), data.hex(), text):
        with pytest.raises(FilesUndecryptable):
            opened(files)


@pytest.mark.parametrize("bound", [True, False])
def test_a_list_of_more_files_than_can_be_used_is_not_encrypted(bound: bool) -> None:
    def plaintext(count: int) -> bytes:
        files = FILES[:1] * count
        return json.dumps({**BOUND, "files": files} if bound else files).encode()

    check_length(plaintext(MAX_FILES))
    with pytest.raises(FileListTooLong):
        check_length(plaintext(MAX_FILES + 1))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(json.dumps({"id": "did:op:x", "tags": ["x"] * 1000}).encode(), id="a document"),
        pytest.param(b"," * 1000, id="no JSON"),
        pytest.param(json.dumps(FILES * 3000).encode(), id="too long to inspect"),
    ],
)
def test_anything_else_may_be_encrypted(other: bytes) -> None:
    check_length(other)
