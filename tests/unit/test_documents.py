"""Everything that the documents for people name exists: files, folders, modules, settings, links."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = ("provider", "tests", "benchmarks", "conf", "docs", ".ci")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]
ENDINGS = r"(?:py|md|toml|yml|yaml|html|service)"
# What the project works from, and a folder of the old image.
ELSEWHERE = {"provider-api.md", "ocean-node-compat.md", "ocean.py", "db/"}
SETTINGS = set(re.findall(r"\bPROVIDER_[A-Z0-9_]+", (ROOT / "conf/provider.toml").read_text()))
# Of the image of Provider 2.1; read by nobody.
SETTINGS |= {"PROVIDER_ADDRESS"}


def tree() -> Iterator[str]:
    yield from (f"/{path.name}" for path in ROOT.iterdir())
    for top in TOP:
        for path in (ROOT / top).rglob("*"):
            if "__pycache__" not in path.parts:
                yield f"/{path.relative_to(ROOT).as_posix()}"


TREE = set(tree())
# A page may leave out where a file stands: `relay.py`, `handlers/base.py`.
ENDS = {path[start:] for path in TREE for start in range(len(path)) if path[start] == "/"}


def named(page: Path) -> Iterator[str]:
    """Paths in code spans; patterns and places in the URL space are none."""
    for span in re.findall(r"`([^`\n]+)`", page.read_text()):
        yield from re.findall(rf"(?<![\w./<*-])[\w.-]+(?:/[\w.-]+)*\.{ENDINGS}(?![\w*-])", span)
        yield from (f"{part}/" for part in re.findall(r"^([a-z][\w.-]*(?:/[\w.-]+)*)/$", span))
        yield from re.findall(rf"(?<![\w./<-])(?:{'|'.join(map(re.escape, TOP))})/[\w./-]*\w(?![\w*<])", span)


def found(pattern: str) -> Iterator[tuple[Path, str]]:
    """Each page, and each place in it that the pattern matches."""
    return ((page, text) for page in PAGES for text in re.findall(pattern, page.read_text()))


def test_every_path_that_a_page_names_exists() -> None:
    paths = ((page, path) for page in PAGES for path in named(page))
    missing = [(page.name, path) for page, path in paths if f"/{path.rstrip('/')}" not in ENDS]
    assert [(page, path) for page, path in missing if path not in ELSEWHERE] == []


def test_every_link_of_a_page_leads_somewhere() -> None:
    links = [(page, target) for page, target in found(r"\]\(([^)#\s]+)") if "://" not in target]
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_every_setting_that_a_page_names_exists() -> None:
    prefixes = {name[: end + 1] for name in SETTINGS for end, char in enumerate(name) if char == "_"}
    settings = found(r"\bPROVIDER_[A-Z0-9_]+")
    assert [(page.name, name) for page, name in settings if name not in SETTINGS | prefixes] == []


def test_every_module_that_a_page_runs_exists() -> None:
    modules = found(r"python -m ((?:provider|benchmarks|tests)[\w.]*\w)")
    assert [(page.name, name) for page, name in modules if importlib.util.find_spec(name) is None] == []


def test_every_room_is_described() -> None:
    described = (ROOT / "docs/architecture.md").read_text()
    rooms = {path.parent.name for path in ROOT.glob("provider/*/__init__.py")}
    assert not {room for room in rooms if f"`{room}/`" not in described}


def test_every_folder_of_tests_is_described() -> None:
    described = (ROOT / "CONTRIBUTING.md").read_text()
    folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/*.py")}
    assert not {folder for folder in folders if f"`tests/{folder}/" not in described}
