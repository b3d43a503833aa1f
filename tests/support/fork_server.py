"""A process that has imported a program and forks it at each request, so that a start does not import it again.

`python -m tests.support.fork_server FD MODULE...` imports the modules and takes requests from the socket FD. Each
names a module, which the fork runs as `python -m` does. It ends when the other end of the socket closes.

A fork behaves as a process that was started by `python -m`: it has its own arguments, environment, folder, session,
standard streams, coverage and exit status. It differs in that it has what was imported before, its parent is the fork
server, and what the interpreter reads from its environment at its start is that of the fork server
(`forked_children.py` sees to that).
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass

NUMBER = struct.Struct("=i")
"""How a process id and an exit status are told."""
_REQUEST_BYTES = 1 << 20
_STREAMS = 3
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, linux/prctl.h


@dataclass(frozen=True)
class Request:
    """What to run. With it come four descriptors: the standard streams, and the socket that is told the process id and
    then the exit status (negative: a signal).
    """

    module: str
    arguments: list[str]
    environ: dict[str, str]
    folder: str

    def to_bytes(self) -> bytes:
        """For the socket."""
        return json.dumps(asdict(self)).encode()


def _next_fork(control: socket.socket) -> tuple[Request, list[int]] | None:
    """Serve requests. Returns the request and its streams in each fork; None in the fork server, at its end."""
    forks: dict[int, tuple[int, socket.socket]] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        for ready, _ in poller.poll():
            if ready != control.fileno():
                pid, listening = forks.pop(ready)
                poller.unregister(ready)
                os.close(ready)
                _tell(listening, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                listening.close()
                continue
            message, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, _STREAMS + 1)
            if not message:
                return None
            *streams, last = descriptors
            listening = socket.socket(fileno=last)
            server, pid = os.getpid(), os.fork()
            if pid == 0:
                _end_with(server)
                for descriptor, (_, other) in forks.items():
                    os.close(descriptor)
                    other.close()
                listening.close()
                control.close()
                return Request(**json.loads(message)), streams
            for stream in streams:
                os.close(stream)
            _tell(listening, pid)
            descriptor = os.pidfd_open(pid)
            forks[descriptor] = pid, listening
            poller.register(descriptor, select.POLLIN)


def _tell(listening: socket.socket, number: int) -> None:
    with suppress(OSError):
        listening.sendall(NUMBER.pack(number))


def _end_with(server: int) -> None:
    """Let the kernel kill this process when the fork server ends, so that none is left behind."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != server:
        os.kill(os.getpid(), signal.SIGKILL)


def _become(request: Request, streams: list[int]) -> None:
    """Run the module as `python -m` would in a new process. Its SystemExit ends this one."""
    os.setsid()
    os.chdir(request.folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.environ)
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _main() -> None:
    for module in sys.argv[2:]:
        importlib.import_module(module)
    # Collections of a fork would copy the memory that it shares with the others.
    gc.collect()
    gc.freeze()
    fork = _next_fork(socket.socket(fileno=int(sys.argv[1])))
    if fork is not None:
        _become(*fork)


if __name__ == "__main__":
    _main()
