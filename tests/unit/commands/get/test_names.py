"""File names that a server chose."""

import pytest

from provider.commands.get.names import local_name, local_names


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("trips.parquet", "trips.parquet"),
        ("Übersicht 2026.csv", "Übersicht 2026.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("...", ""),
        ("..", ""),
        ("", ""),
        ("a\x00b\n\x1b[31mc.csv", "ab[31mc.csv"),
        ("gnp.\u202etxt", "gnp.txt"),
        ("data.csv. . ", "data.csv"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("lpt1 .txt", "_lpt1 .txt"),
        ("console.log", "console.log"),
        ("C:\\x.csv", "x.csv"),
        ("a:b*c?.csv", "abc.csv"),
        ("data.csv.part", "data.csv.part_"),
        ("data.csv.PART.json", "data.csv.PART.json_"),
        ("data.csv.part.json.new", "data.csv.part.json.new_"),
    ],
)
def test_a_name_stays_in_the_folder_and_is_an_ordinary_file(name: str, local: str) -> None:
    assert local_name(name) == local


@pytest.mark.parametrize("name", ["x" * 5000 + ".parquet", "é" * 5000, "a." + "b" * 5000])
def test_a_long_name_leaves_room_for_the_suffixes(name: str) -> None:
    assert 0 < len((local_name(name) + ".part.json.new").encode()) <= 255


def test_two_files_never_share_a_name() -> None:
    names = ["a.csv", "A.csv", "", "", "file-2", "a-1.csv"]
    assert local_names(names, range(6)) == ["a.csv", "A-1.csv", "file-2", "file-3", "file-2-4", "a-1-5.csv"]
