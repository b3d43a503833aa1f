"""The recipes of pages in docs/, as a reader copies them, and what it takes to run them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "links.md"
_BLOCK = re.compile(r"^```(\w+) ([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A tool that asks again for ever fails with this.
LONGEST_SECONDS = 120
# Threads of Arrow sometimes abort the process while the interpreter shuts down, after the work is done.
_END = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"


def recipes(page: str = "links.md") -> dict[str, str]:
    """Text of each named block of a page by its name: ```` ```sh NAME ````."""
    return {name: text for _, name, text in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))}


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip without these: programs, or modules of Python if they are written `module:NAME`."""
    missing = []
    for tool in tools:
        kind, _, name = tool.rpartition(":")
        if (importlib.util.find_spec(name) if kind else shutil.which(name)) is None:
            missing.append(name)
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def environment(home: Path, **values: str) -> dict[str, str]:
    """Variables of a tool that knows nothing of this machine's user; `values` besides."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), **values}


def run_shell(text: str, folder: Path, **values: str) -> subprocess.CompletedProcess[bytes]:
    """Run lines of a shell in `folder`."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment(folder, **values),
        capture_output=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


def run_python(text: str, folder: Path, url: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run lines of Python in `folder` with `url` as a name, in a process of their own."""
    return subprocess.run(
        [sys.executable, "-c", f"url = {url!r}\n{text}{_END}"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


def printed(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the output of a tool, which must have succeeded."""
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout.decode()
