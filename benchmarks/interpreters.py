"""Other interpreters on which our server can be measured."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.daemon import PartFailed
from provider.testing.stage import SERVE

_ASK_SECONDS = 60


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Return interpreters by their names. Raises PartFailed as `name_of` does, and if two have the same name."""
    found: dict[str, Path] = {}
    for path in paths:
        name = name_of(path)
        if name in found:
            raise PartFailed(f"--interpreter {path} cannot be told from {found[name]}: both are {name}. Leave one out")
        found[name] = path
    return found


def name_of(path: Path) -> str:
    """Ask an interpreter for its name (`machine.interpreter_name`). Raises PartFailed if it cannot run Provider."""
    asked = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import provider.app.build\n"
        "from benchmarks import machine\n"
        "print(machine.interpreter_name())"
    )
    try:
        done = subprocess.run(
            [path.absolute(), "-c", asked, str(machine.ROOT)],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.splitlines() or [f"it ended with status {error.returncode}"]
        raise PartFailed(f"--interpreter {path} cannot run Provider: {said[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PartFailed(f"--interpreter {path} does not run: {error}") from error
    return done.stdout.strip()


def command(path: Path) -> Sequence[str]:
    """Return arguments of this interpreter that start the server on another one, with the packages installed there."""
    become = "import os, sys; del os.environ['PYTHONPATH']; os.execv(sys.argv[1], sys.argv[1:])"
    return ("-c", become, str(path.absolute()), *SERVE)
