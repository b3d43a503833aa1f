"""Places where nonce stores under test keep their state, processes that open them, and the outcome of a call."""

import signal
import socket
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, cast

from provider.auth.nonce_writer import socket_address, writer_socket
from provider.errors import ProviderError
from tests.support.measured import MeasuredChildren

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
FAR = 4_000_000_000
CLOCK = 1_700_000_000_000


class Program:
    """A running `nonce_worker.py`, with lines of text to and from it. Leaving the block waits for its end."""

    def __init__(self, children: MeasuredChildren, *arguments: str) -> None:
        self._process = children.begin(("-m", "tests.contract.nonce_worker", *arguments), sys.__stderr__.buffer)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin = TextIOWrapper(cast(BinaryIO, self._process.stdin), write_through=True)
        self.stdout = TextIOWrapper(cast(BinaryIO, self._process.stdout))

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tell(self, text: str) -> None:
        self.stdin.write(text)
        self.stdin.flush()

    def rest(self) -> str:
        """Everything that it prints until its end."""
        text = self.stdout.read()
        self.wait()
        return text

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def wait(self) -> None:
        self._process.wait(60)


class Place:
    """Where the stores of one test keep their state; `kind` and `place` mean the same to `nonce_worker.py`."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place

    def worker(self, children: MeasuredChildren, what: str, *arguments: object) -> Program:
        return Program(children, what, self.kind, self.place, *map(str, arguments))


class RunningWriter:
    """The nonce writer of the file at `path` as a process. Its workers share the file's directory."""

    def __init__(self, path: Path, children: MeasuredChildren) -> None:
        self.path = path
        self.socket = writer_socket(path.parent, path)
        self._children = children
        self._process: Program | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.socket.unlink(missing_ok=True)
        self._process = Program(self._children, "serve", "writer", str(self.path))
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self._process.returncode is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, socket_address(self.socket) as address:
            return probe.connect_ex(address) == 0

    def kill(self) -> None:
        """Kill it as the kernel does when memory is short."""
        assert self._process is not None
        with self._process as process:
            process.kill()

    def end(self) -> None:
        """Let it go, and wait for its end, which comes once its workers have left."""
        if self._process is not None:
            with self._process as process:
                self.let_go()
                process.wait()

    def let_go(self) -> None:
        """End the line that it lives by."""
        assert self._process is not None
        self._process.stdin.close()

    def exit_status(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.returncode


async def outcome(call: Any) -> object:
    try:
        return await call
    except ProviderError as error:
        return type(error)
