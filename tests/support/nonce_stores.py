"""Places where nonce stores under test keep their state, processes that open them, and the outcome of a call."""

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from provider.auth.nonce_writer import socket_address, writer_socket
from provider.errors import ProviderError

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
FAR = 4_000_000_000
CLOCK = 1_700_000_000_000
WORKER = Path(__file__).parents[1] / "contract/nonce_worker.py"


class Place:
    """Where the stores of one test keep their state; `kind` and `place` mean the same to `nonce_worker.py`."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place

    def worker(self, what: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), what, self.kind, self.place, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


class RunningWriter:
    """The nonce writer of the file at `path` as a process. Its workers share the file's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = writer_socket(path.parent, path)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.socket.unlink(missing_ok=True)
        code = (
            "import sys, pathlib; from provider.auth import nonce_writer as w;"
            " w.serve_nonces(pathlib.Path(sys.argv[1]), sys.argv[2], life_line=0)"
        )
        command = [sys.executable, "-c", code, str(self.path), str(self.path.parent)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None
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
                process.wait(60)

    def let_go(self) -> None:
        """End the line that it lives by."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    def exit_status(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()


async def outcome(call: Any) -> object:
    try:
        return await call
    except ProviderError as error:
        return type(error)
