"""What `provider check` says about the folders of this host."""

from pathlib import Path

import pytest

from provider.commands.check.host_probes import probe_books, probe_slice_cache
from provider.commands.check.table import State


def test_a_slice_cache_is_made_with_its_parents(tmp_path: Path) -> None:
    found = probe_slice_cache(tmp_path / "cache" / "slices")
    assert (found.state, list(tmp_path.iterdir())) == (State.OK, []), "the check leaves nothing behind"
    assert "will be created" in found.detail
    assert "can be written" in probe_slice_cache(tmp_path).detail


def test_books_go_into_a_folder_that_exists(tmp_path: Path) -> None:
    assert probe_books(tmp_path / "books.db").state is State.OK
    found = probe_books(tmp_path / "missing" / "books.db")
    assert found.state is State.WARN, "downloads are served without the books"
    assert found.what_to_do.startswith("PROVIDER_BOOKS_PATH: ")
    assert "No such file or directory" in found.detail


@pytest.mark.parametrize("probe", [probe_slice_cache, probe_books])
def test_a_file_in_the_place_of_a_folder_is_a_warning(tmp_path: Path, probe: object) -> None:
    (tmp_path / "file").write_text("")
    assert callable(probe)
    found = probe(tmp_path / "file" / "within")
    assert found.state is State.WARN
    assert "Not a directory" in found.detail
