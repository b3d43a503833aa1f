"""Child processes of the demo: start, readiness and orderly end, for the parent and for the child itself."""

import argparse
import asyncio
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

STOP_SECONDS = 10.0  # from SIGTERM to SIGKILL


class ChildFailed(Exception):
    """A child process ended early or was not ready in time. The message holds the end of its stderr."""


class Process(Protocol):
    """The part of `subprocess.Popen` that a Child needs."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    returncode: int | None

    @property
    def pid(self) -> int:
        """Process id."""

    def poll(self) -> int | None:
        """Return its exit status (negative: a signal), None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit status. Raises subprocess.TimeoutExpired after `timeout` seconds."""

    def send_signal(self, sig: int) -> None:
        """Send a signal unless it has ended."""


class Child:
    """One process in its own session, so that a terminal's Ctrl-C reaches only the parent.

    `stderr`: the file that takes its standard error.
    """

    def __init__(self, name: str, process: Process, *, stderr: IO[bytes]) -> None:
        self.name = name
        self._stderr = stderr
        self._process = process

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise ChildFailed if the process has ended."""
        if self._process.poll() is not None:
            raise ChildFailed(f"the {self.name} ended with status {self._process.returncode}{self.stderr_tail()}")

    def read_ready_line(self, timeout_seconds: float) -> dict[str, Any]:
        """Return the first line of stdout as JSON. Raises ChildFailed if it does not come in time."""
        assert self._process.stdout is not None  # noqa: S101
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(timeout_seconds) else b""
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            self.check()
            raise ChildFailed(f"the {self.name} was not ready within {timeout_seconds:g} s{self.stderr_tail()}")
        value: dict[str, Any] = json.loads(line)
        return value

    def stderr_tail(self, limit_bytes: int = 4000) -> str:
        """Return the end of what the process wrote to stderr, on lines of its own; empty if nothing."""
        # Read without moving the file position, which the process shares with us: it would write there.
        descriptor = self._stderr.fileno()
        written = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        text = written[-limit_bytes:].decode("utf-8", "replace").strip()
        return f":\n{text}" if text else ""

    def ask_to_stop(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the process: SIGTERM, and after a while SIGKILL for its whole session."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Children:
    """All children of one run. Leaving the `with` block ends them, the last one started first.

    `folder`: holds their stderr.
    `environ`: added to the bare environment of each.
    """

    def __init__(self, folder: str, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environ = {**bare_environ(folder), **(environ or {})}
        self._stack = contextlib.ExitStack()
        self._children: list[Child] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.ask_to_stop()
        self._stack.close()

    def start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
        """Start `python <arguments>` with the common environment plus `environ`."""
        path = os.path.join(self._folder, f"{name}.stderr")
        stderr = self._stack.enter_context(open(path, "w+b"))  # noqa: SIM115
        child = Child(name, self.open(arguments, {**self._environ, **(environ or {})}, stderr), stderr=stderr)
        self._children.append(child)
        self._stack.callback(child.stop)
        return child

    def open(self, arguments: Sequence[str], environ: Mapping[str, str], stderr: IO[bytes]) -> Process:
        """Start `python <arguments>` with this whole environment, in its own session and with pipes to it."""
        return subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )


def bare_environ(home: str) -> dict[str, str]:
    """Return a child's environment: nothing of the caller's, so that an operator's own settings cannot leak in."""
    return {
        "PATH": os.defpath,
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "ETH_HASH_BACKEND": "pysha3",
    }


def wait_until(is_ready: Any, child: Child, *, timeout_seconds: float) -> None:
    """Poll until `is_ready()` is true. Raises ChildFailed if the child ends or time runs out."""
    deadline = time.monotonic() + timeout_seconds
    while not is_ready():
        child.check()
        if time.monotonic() > deadline:
            raise ChildFailed(f"the {child.name} was not ready within {timeout_seconds:g} s{child.stderr_tail()}")
        time.sleep(0.05)


@contextlib.contextmanager
def first_stop_signal_interrupts() -> Iterator[None]:
    """Make the first SIGINT or SIGTERM raise KeyboardInterrupt; later ones cannot disturb the clean-up."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def child_parser(description: str) -> argparse.ArgumentParser:
    """In the child: parse the options that every child has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 selects a free one")
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input closes")
    return parser


def announce(ready: Mapping[str, object]) -> None:
    """In the child: print the ready line."""
    sys.stdout.write(json.dumps(dict(ready)) + "\n")
    sys.stdout.flush()


async def until_stopped(*, watch_stdin: bool) -> None:
    """In the child: return on SIGTERM or SIGINT, or when a watched stdin closes because the parent is gone."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    def parent_spoke() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            stopped.set()

    if watch_stdin:
        loop.add_reader(0, parent_spoke)
    await stopped.wait()
