"""Children whose servers are forked from a process that has imported the server (`fork_server.py`).

They start in hundredths of a second instead of a second, and are used like other children. A child is started as ever
where a fork could not be the same: another command; or a variable that is no setting of the server, because the
interpreter or a library may read it while it starts. A fork server serves the namespaces that it was started in.
"""

import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import IO

from provider.config.document import CONFIGS
from provider.override import override
from provider.setting import settings_of
from provider.testing.child import STOP_SECONDS, Children, Process
from tests.support.fork_server import NUMBER, Request

PROVIDER = ("-m", "provider")
# The program itself, and a script of tests that uses parts of it and starts often.
FORKED = {PROVIDER, ("-m", "tests.contract.nonce_worker")}
SERVE = (*PROVIDER, "serve")
# What the server imports beside its own module, some of it late.
IMPORTED = ("provider.process.server", "provider.process.worker", "uvloop")
# The fork server imports for a second; on a busy machine, for many.
START_SECONDS = 120.0
# No settings, but read when they are needed.
_READ_LATE = frozenset({"PROVIDER_CONFIG_FILE", "TMPDIR"})


class ForkedChildren(Children):
    """Children that are forked where that is the same. Their fork servers end with the `with` block.

    `forks`: False starts each as ever.
    """

    def __init__(self, folder: str, environ: Mapping[str, str] | None = None, *, forks: bool = True) -> None:
        super().__init__(folder, environ)
        self._forks = forks
        self._servers: dict[frozenset[tuple[str, str | int]], ForkServer] = {}

    @override
    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for server in self._servers.values():
            server.stop()

    @override
    def open(self, arguments: Sequence[str], environ: Mapping[str, str], stderr: IO[bytes]) -> Process:
        if self._forks and self._can_fork(arguments, environ):
            # A fork server that has died serves no more; this costs time, but no test.
            with suppress(OSError):
                return self._server_for(environ).fork(arguments, environ, stderr)
        return super().open(arguments, environ, stderr)

    def _can_fork(self, arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
        special = any(
            self._environ.get(name) != value and not name.startswith("COVERAGE")
            for name, value in environ.items()
            if name not in _settings()
        )
        return (*arguments[:2],) in FORKED and not special

    def _server_for(self, environ: Mapping[str, str]) -> "ForkServer":
        """In each network one for the servers that coverage measures, and one for the others."""
        fixed = {name: value for name, value in environ.items() if name not in _settings()}
        key = frozenset({*fixed.items(), *_namespaces()})
        if key not in self._servers:
            self._servers[key] = ForkServer(fixed)
        return self._servers[key]


class ForkServer:
    """A running fork server. `environ`: what its forks have in common."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno()), *IMPORTED],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, arguments: Sequence[str], environ: Mapping[str, str], stderr: IO[bytes]) -> "ForkedProcess":
        """Start `python -m MODULE ...` as a fork. Raises OSError if the fork server has ended."""
        _, module, *more = arguments
        request = Request(module, more, dict(environ), os.getcwd())
        (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        ours, theirs = socket.socketpair()
        process = ForkedProcess(ours, stdin=open(to_stdin, "wb"), stdout=open(from_stdout, "rb"))  # noqa: SIM115
        try:
            with theirs, open(stdin, "rb"), open(stdout, "wb"):
                streams = [stdin, stdout, stderr.fileno()]
                socket.send_fds(self._control, [request.to_bytes()], [*streams, theirs.fileno()])
            process.read_pid()
        except OSError:
            process.stdin.close()
            process.stdout.close()
            raise
        return process

    def stop(self) -> None:
        """End it; what it forked and is still there dies with it."""
        self._control.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedProcess(Process):
    """A fork, used like a `subprocess.Popen`. `reports`: gets its process id and its exit status."""

    def __init__(self, reports: socket.socket, *, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin: IO[bytes] = stdin
        self.stdout: IO[bytes] = stdout
        self.returncode: int | None = None
        self._reports = reports
        weakref.finalize(self, reports.close)
        self._pid = 0

    @property
    @override
    def pid(self) -> int:
        return self._pid

    def read_pid(self) -> None:
        """Wait for the fork. Raises OSError if it does not come."""
        self._reports.settimeout(START_SECONDS)
        if not (told := self._reports.recv(NUMBER.size)):
            raise BrokenPipeError("the fork server has ended")
        (self._pid,) = NUMBER.unpack(told)

    @override
    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    @override
    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._reports.settimeout(timeout)
            try:
                # The status stays in the socket for another thread that waits.
                told = self._reports.recv(NUMBER.size, socket.MSG_PEEK)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(str(self._pid), timeout or 0) from None
            # The fork server has died, which kills its forks.
            self.returncode = NUMBER.unpack(told)[0] if told else -signal.SIGKILL
        return self.returncode

    @override
    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, sig)


@cache
def _settings() -> frozenset[str]:
    """The environment variables that a server reads when it has started."""
    declared = chain.from_iterable(settings_of(config).values() for config in CONFIGS)
    names = chain.from_iterable((setting.variable, setting.stronger) for setting in declared)
    return _READ_LATE | frozenset(filter(None, names))


def _namespaces() -> frozenset[tuple[str, int]]:
    """Those of a process that this thread starts (namespaces(7))."""
    return frozenset((entry.name, entry.stat().st_ino) for entry in Path("/proc/thread-self/ns").iterdir())
