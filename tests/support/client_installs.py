"""Unmodified client libraries, installed once from the lock files of `tests/clients` and then driven as processes."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent.parent / "clients"
INSTALL_SECONDS = 240
DRIVE_SECONDS = 90


@dataclass(frozen=True)
class Drive:
    """A driver's report: for each step, its result or the message of its failure."""

    steps: Mapping[str, Mapping[str, Any]]
    stderr: str

    def value(self, step: str) -> Any:
        """Return a step's result; fail the test with the driver's stderr if there is none."""
        report = self.steps.get(step)
        assert report is not None, f"{step} was not reached; last: {list(self.steps)[-1:]}\n{self.stderr[-3000:]}"
        assert "value" in report, f"{step} failed: {report['error']}\n{self.stderr[-3000:]}"
        return report["value"]

    def error(self, step: str) -> str:
        """The message with which a step was refused."""
        report = self.steps.get(step)
        assert report is not None, f"{step} was not reached\n{self.stderr[-3000:]}"
        assert "error" in report, f"{step} was not refused: {report['value']}"
        return str(report["error"])


def node_is_here() -> bool:
    """Tell whether the JavaScript clients can run here."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def python_for_ocean_py() -> str | None:
    """Return an interpreter for which ocean.py's pins have wheels, or None."""
    return sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")


def install_npm(client: str) -> Path:
    """Return a folder whose `node_modules` matches a client's lock file; kept between runs."""
    source = CLIENTS / client

    def fill(folder: Path) -> None:
        for name in (".npmrc", "package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]
        _run(command, cwd=folder)

    return _cached(client, source / "package-lock.json", fill)


def install_pip(client: str, python: str) -> Path:
    """Return a virtual environment that matches a client's requirements; kept between runs."""
    requirements = CLIENTS / client / "requirements.txt"

    def fill(folder: Path) -> None:
        _run([python, "-m", "venv", "--without-pip", str(folder)], cwd=folder)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder / "bin" / "python"),
            "install",
            "-q",
            "--no-deps",
            "--no-compile",
        ]
        _run([*pip, "--only-binary=:all:", "--disable-pip-version-check", "-r", str(requirements)], cwd=folder)

    return _cached(client, requirements, fill)


def drive_node(
    client: str, installed: Path, folder: Path, stage: Mapping[str, object], *, script: str = "drive.mjs"
) -> Drive:
    """Run a client's driver in `folder`, where it imports the library by its plain name."""
    for source in (CLIENTS / "steps.mjs", CLIENTS / client / script):
        shutil.copy(source, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(installed / "node_modules")
    return _drive(["node", script], folder, stage)


def drive_python(client: str, installed: Path, folder: Path, stage: Mapping[str, object]) -> Drive:
    """Run `drive.py` of a client with the interpreter of its environment."""
    return _drive([str(installed / "bin" / "python"), str(CLIENTS / client / "drive.py")], folder, stage)


def _drive(command: list[str], folder: Path, stage: Mapping[str, object]) -> Drive:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "ADDRESS_FILE": str(stage["addressFile"])}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        input=json.dumps(stage),
        capture_output=True,
        text=True,
        timeout=DRIVE_SECONDS,
        check=False,
    )
    lines = (json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"'))
    return Drive({line["step"]: line for line in lines}, done.stderr + done.stdout[-500:])


def _cached(client: str, lock: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the user's cache, filled by `fill` for exactly this lock file and Python, by one run at a
    time.
    """
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provider-test-clients"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{client}-{key}"
    with (root / f"{client}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            # In place: a virtual environment does not survive being moved. A run that broke off is begun anew.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            (folder / "complete").touch()
    return folder


def _run(command: list[str], *, cwd: Path) -> None:
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(command, cwd=cwd, stdout=output, stderr=output, timeout=INSTALL_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            output.seek(0)
            text = output.read()[-3000:].decode("utf-8", "replace")
            raise AssertionError(f"{command[0]} failed with status {error.returncode}:\n{text}") from None
