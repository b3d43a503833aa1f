"""The demo as a user starts it: a real server process, exit status, and nothing left behind."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from provider.testing.readings import session_cpu_seconds

Start = Callable[..., subprocess.Popen[str]]

COMMAND = [sys.executable, "-m", "provider", "demo", "--size", "3MiB"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo with its temporary files under `tmp_path`, so that leftovers can be seen."""
    with contextlib.ExitStack() as stack:

        def popen(*more: str) -> subprocess.Popen[str]:
            environ = {**os.environ, "TMPDIR": str(tmp_path)}
            process = subprocess.Popen(
                [*COMMAND, *more], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        yield popen


def leftovers(tmp_path: Path, sessions: set[int]) -> list[object]:
    return [*tmp_path.glob("provider-demo-*"), *(sid for sid in sessions if session_cpu_seconds(sid) is not None)]


def test_demo_holds_and_ends_with_status_0(tmp_path: Path, start: Start) -> None:
    process = start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "every expectation held" in output
    assert "FAILED" not in output
    assert "\x1b" not in output
    for label in ("stranger", "replay", "forged order"):
        assert f"{label:<12} ok      400 " in output
    for label in ("link", "provider get", "first key", "new key"):
        assert f"{label:<12} ok      " in output
    assert "old key      ok      the store has another key now: 400 " in output
    assert "stranger     ok      a stranger's own asset with the same files: 403 " in output
    assert ("one column   ok      " in output) != ("columns      skipped" in output)
    assert leftovers(tmp_path, set()) == []


def test_kept_demo_prints_a_good_download_and_a_signal_takes_everything_down(tmp_path: Path, start: Start) -> None:
    """The other signal that ends a demo is sent to the one with `--compute`."""
    process = start("--keep")
    assert process.stdout is not None
    lines, commands = [], []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("curl ") or " get did:op:" in line:
            commands.append(line)
        if len(commands) == 4:
            break
    text = "".join(lines)
    *commands, link, get = commands
    assert [command.split()[3] for command in commands] == ["data.csv", "large.bin"], text
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    good = (tmp_path / "data.csv").read_bytes()
    assert good.startswith(b"station,day,")
    assert (tmp_path / "large.bin").stat().st_size == 3 << 20
    again = subprocess.run(commands[0], shell=True, cwd=tmp_path, check=False, capture_output=True)
    assert again.returncode == 22, "a URL is good once"
    assert (tmp_path / "data.csv").read_bytes() == good, "an error does not replace a good file"
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        subprocess.run(link, shell=True, cwd=tmp_path / folder, check=True, capture_output=True)
        (file,) = (tmp_path / folder).iterdir()
        assert file.read_bytes() == (tmp_path / "large.bin").read_bytes()
    (tmp_path / "get").mkdir()
    subprocess.run(get, shell=True, cwd=tmp_path / "get", check=True, capture_output=True)
    assert (tmp_path / "get" / "large.bin").read_bytes() == (tmp_path / "large.bin").read_bytes()
    dashboard = re.search(r"^ *dashboard +(http://\S+/dashboard/)$", text, re.MULTILINE)
    assert dashboard is not None, text
    with urllib.request.urlopen(dashboard[1]) as reply:
        assert b"<title>" in reply.read()
    for name in ("data.csv", "large.bin"):
        (tmp_path / name).unlink()
    sessions = {os.getsid(child.pid) for child in psutil.Process(process.pid).children(recursive=True)}
    assert len(sessions) >= 3
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert leftovers(tmp_path, sessions) == []


def test_server_that_cannot_start_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from provider.demo.scenes.run import run_demo  # noqa: PLC0415  (its imports take a second)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    broken = {"REQUEST_TIMEOUT": "soon"}
    assert run_demo(size_bytes=1, keep=False, out=sys.stdout, terminal=False, environ=broken) == 1
    output = capsys.readouterr().out
    assert "the server ended with status 2" in output
    assert "REQUEST_TIMEOUT" in output
    assert leftovers(tmp_path, set()) == []
