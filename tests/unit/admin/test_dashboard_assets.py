"""The files of the dashboard are the pinned ones."""

import re

import pytest

from provider.admin.dashboard import uplot
from provider.admin.dashboard.uplot import FOLDER, INTEGRITY, VERSION, integrity


@pytest.mark.parametrize("name", sorted(INTEGRITY))
def test_charting_library_is_the_pinned_one(name: str) -> None:
    assert integrity((FOLDER / name).read_bytes(), "sha384") == INTEGRITY[name]


def test_charting_library_says_its_version_and_has_its_licence() -> None:
    assert f"(v{VERSION})".encode() in (FOLDER / "uplot.min.js").read_bytes()[:200]
    assert b"MIT License" in (FOLDER / "uplot.LICENSE").read_bytes()
    assert set(uplot.MEMBERS) == set(INTEGRITY)


def test_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own() -> None:
    page = (FOLDER / "dashboard.html").read_text()
    assert not re.search(r"""(src|href)=["'](https?:|//|/)""", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", page)
