"""File objects of named sources: the path is names, byte for byte, and nothing that leads elsewhere."""

import pytest

from provider.errors import FileObjectInvalid
from provider.files.file_object import Seller, SourceFile, parse_file_object
from provider.files.opener import file_of
from tests.support.assets import ASSET

LONGEST = "/".join(["n" * 255] * 15 + ["n" * 255])


def source_file(path: object = "2026/a.parquet", source: object = "climate") -> dict[str, object]:
    return {"type": "source", "source": source, "path": path}


def test_a_file_outside_an_asset_has_no_seller() -> None:
    file = parse_file_object(source_file())
    assert file == SourceFile("climate", "2026/a.parquet", seller=None)
    assert file.url_path == "/2026/a.parquet"


def test_a_file_of_an_asset_says_which_asset_sells_it() -> None:
    file = file_of(source_file(), ASSET)
    assert isinstance(file, SourceFile)
    assert file.seller == Seller(ASSET.chain_id, ASSET.data_nft, ASSET.metadata_tx_id)


def test_what_lies_where_is_not_shown() -> None:
    assert "climate" not in repr(parse_file_object(source_file()))
    assert "parquet" not in repr(parse_file_object(source_file()))


@pytest.mark.parametrize("path", ["a", "a b.csv", ".hidden", "...", "ü/größe.csv", "%2e%2e/x", "a?b#c", "a;b", LONGEST])
def test_names_are_used_as_they_are(path: str) -> None:
    file = parse_file_object(source_file(path))
    assert isinstance(file, SourceFile)
    assert file.path == path


@pytest.mark.parametrize(
    "path",
    [
        "..", ".", "../x", "a/../b", "a/./b", "a/..", "/etc/passwd", "//x", "a//b", "a/", "a\\b", "..\\x", "a\0b", "\0",
        "a\nb", "a\x7fb", "\ud800",
        "n" * 256, "ü" * 128, "n" * 4096, LONGEST + "/n", "", None, 5, ["a"], {"a": 1}, True,
    ],
)  # fmt: skip
def test_other_paths_are_refused(path: object) -> None:
    with pytest.raises(FileObjectInvalid):
        parse_file_object(source_file(path))


@pytest.mark.parametrize("source", ["", None, 5, ["climate"], "n" * 65])
def test_other_names_of_sources_are_refused(source: object) -> None:
    with pytest.raises(FileObjectInvalid):
        parse_file_object(source_file(source=source))
