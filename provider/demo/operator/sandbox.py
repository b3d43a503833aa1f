"""The demo's sandbox: runs one Python program once, in its own namespaces and with limits; returns its files and log.

Guarantees: no network, not even loopback; no file of this machine except the Python installation, the inputs and the
program, all read-only; no other process visible, signalled or started; bounded time, memory and output. It is for
trying things out: it trusts the kernel and has no seccomp filter, so do not run programs of strangers in it.
"""

import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provider.demo.operator import jail as sandbox_jail

GRACE_SECONDS = 10.0  # to build the jail and to hand the files over
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


class SandboxUnavailable(Exception):
    """This machine does not allow the sandbox. The text says which step failed. Nothing was run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run.

    `output_bytes`: all files together.
    `file_bytes`: one file.
    `log_bytes`: what the program prints.
    """

    wall_seconds: float = 20.0
    cpu_seconds: int = 10
    memory_bytes: int = 512 << 20
    output_bytes: int = 16 << 20
    log_bytes: int = 1 << 20
    file_bytes: int = 8 << 20
    open_files: int = 64

    def resources(self) -> dict[str, int]:
        """Return the limits for setrlimit(2), by name."""
        return {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_NPROC": 1,
            "RLIMIT_CORE": 0,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    `code`: exit status, negative for a signal.
    `late`: the time limit ended it.
    `whole`: no output was left out.
    """

    code: int
    late: bool
    log: bytes = field(repr=False)
    outputs: Mapping[str, bytes] = field(repr=False)
    whole: bool = True

    def ending(self) -> str:
        """Describe how it ended."""
        if self.late:
            return "ended by the sandbox: out of time"
        if self.code < 0:
            return f"ended by signal {-self.code}"
        return f"exit status {self.code}"


async def run_sandboxed(folder: Path, *, environ: Mapping[str, str], limits: Limits | None = None) -> Outcome:
    """Run `folder`/transformations/algorithm, which sees `folder`/inputs. As in a pod, both are under /data.

    Results are the plain files directly in /data/outputs. `environ` is its whole environment. Cancelling ends the
    program. Raises SandboxUnavailable.
    """
    allowed = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="root-", dir=folder) as stage:
        spec = {
            "stage": stage,
            "folder": str(folder),
            "python": PYTHON,
            "shown": _shown(),
            "environ": dict(environ),
            "limits": allowed.resources(),
            "wall_seconds": allowed.wall_seconds,
            "output_bytes": allowed.output_bytes,
            "log_bytes": allowed.log_bytes,
        }
        told, complaint = await _run_jail(json.dumps(spec), allowed.wall_seconds + GRACE_SECONDS)
    if not told:
        raise SandboxUnavailable(complaint or "the sandbox ended without a report")
    report: dict[str, Any] = json.loads(told)
    return Outcome(
        code=report["code"],
        late=report["late"],
        log=base64.b64decode(report["log"]),
        outputs={name: base64.b64decode(text) for name, text in report["outputs"].items()},
        whole=report["whole"],
    )


async def _run_jail(spec: str, seconds: float) -> tuple[bytes, str]:
    """Return the jail's standard output, and its standard error as text."""
    jail = await asyncio.create_subprocess_exec(
        PYTHON,
        "-I",
        "-S",
        sandbox_jail.__file__,
        spec,
        env={},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            told, complaint = await jail.communicate()
    except TimeoutError:
        return b"", "the sandbox gave no report in time"
    finally:
        if jail.returncode is None:
            # It kills the program and then ends by itself.
            with contextlib.suppress(ProcessLookupError):
                jail.terminate()
            await jail.wait()
    return told, complaint.decode("utf-8", "replace").strip()


def _shown() -> list[str]:
    """Return what the program can see of this machine: the interpreter and the libraries of Python and the system."""
    roots = {sys.base_prefix, sys.base_exec_prefix, "/usr", ""}
    libraries = sorted(f"{root}/{name}" for root in roots for name in ("lib", "lib64"))
    # A folder inside one that is shown needs no mount of its own.
    return [*libraries, "/etc/ld.so.cache", PYTHON]


async def probe(folder: Path) -> None:
    """Run a program that does nothing. Raises SandboxUnavailable."""
    for name in ("inputs", "transformations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "transformations" / "algorithm").write_text("print('alive')")
    outcome = await run_sandboxed(folder, environ={})
    if outcome.log != b"alive\n":
        raise SandboxUnavailable(f"Python does not start in it: {outcome.ending()}")
