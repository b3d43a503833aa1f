"""Real Redis servers on loopback ports: single, with TLS and users, behind Sentinels, as a cluster."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from provider.testing.ports import free_ports

REDIS = shutil.which("redis-server")
DEADLINE_SECONDS = 60.0


def needs_redis() -> None:
    """Skip where no Redis is installed."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")


class RedisServer:
    """One redis-server process; its data stays in `folder` when it is killed and started again."""

    def __init__(self, folder: Path, *options: str, port: int | None = None, tls: bool = False) -> None:
        needs_redis()
        self.port = port or free_ports(1)[0]
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = ["--port", "0", "--tls-port", str(self.port)] if tls else ["--port", str(self.port)]
        self._command = [REDIS or "", *self._config(), *listen, *options]
        self._process: subprocess.Popen[bytes] | None = None

    def _config(self) -> list[str]:
        return [
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--loglevel",
            "warning",
            "--repl-diskless-sync-delay",
            "0",
        ]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "RedisServer":
        """Start it and wait until its port is open."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            until(self._listens, "redis-server listens")
        except AssertionError:
            self.kill()
            raise
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Kill it, which is as close to a power cut as a process gets."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """End it."""
        self._end(lambda process: process.terminate())

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is not None:
            how(process)
            process.wait(DEADLINE_SECONDS)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Let it answer nothing meanwhile. Connections to it can be opened, and what it is sent stays for later."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | int) -> bytes:
        """Send one command, return the raw reply's first bytes; for plain servers without users."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS) as connection:
            parts = [str(word).encode() for word in words]
            connection.sendall(
                b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            )
            return connection.recv(1 << 16)

    def replication(self) -> bytes:
        """Return its role and its replicas; empty while it changes its role, because it closes connections then."""
        try:
            return self.ask("INFO", "replication")
        except ConnectionError:
            return b""


class Sentinel(RedisServer):
    """One redis-sentinel process, which watches `master` under the name `main`."""

    def __init__(self, folder: Path, master: RedisServer, *, quorum: int) -> None:
        super().__init__(folder)
        config = self.folder / "sentinel.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\nprotected-mode no\n"
            f"sentinel monitor main 127.0.0.1 {master.port} {quorum}\n"
            # On a busy machine, one that runs may be silent for long.
            "sentinel down-after-milliseconds main 60000\nsentinel failover-timeout main 3000\n"
        )
        self._command = [REDIS or "", str(config), "--sentinel"]


class Watched:
    """A master, a replica and three Sentinels."""

    def __init__(self, folder: Path) -> None:
        with ExitStack() as failing:
            self._servers: list[RedisServer] = []
            failing.callback(self.stop)
            self.master = self._started(RedisServer(folder, *AOF))
            self.replica = self._started(RedisServer(folder, *AOF, "--replicaof", f"127.0.0.1 {self.master.port}"))
            until(lambda: b"state=online" in self.master.replication(), "the replica follows")
            self.sentinels = [Sentinel(folder, self.master, quorum=2) for _ in range(3)]
            for sentinel in self.sentinels:
                self._started(sentinel)
            for sentinel in self.sentinels:
                until(lambda sentinel=sentinel: self._knows_all(sentinel), "Sentinels know each other")  # type: ignore[misc]
            failing.pop_all()

    def _started(self, server: RedisServer) -> RedisServer:
        self._servers.append(server.start())
        return server

    def _knows_all(self, sentinel: Sentinel) -> bool:
        found = sentinel.ask("SENTINEL", "MASTER", "main")
        return _field(found, "num-other-sentinels") == "2" and _field(found, "num-slaves") == "1"

    @property
    def url(self) -> str:
        nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{nodes}/main"

    def kill_master(self) -> None:
        """Kill it, and let the Sentinels miss it soon."""
        self.master.kill()
        for sentinel in self.sentinels:
            assert sentinel.ask("SENTINEL", "SET", "main", "down-after-milliseconds", 600) == b"+OK\r\n"

    def stop(self) -> None:
        """End all of them."""
        for server in reversed(self._servers):
            server.stop()


class Cluster:
    """Three masters that share the slots."""

    def __init__(self, folder: Path) -> None:
        with ExitStack() as failing:
            self.nodes: list[RedisServer] = []
            failing.callback(self.stop)
            # Where they talk to each other; else 10 000 above the port, where others may look for theirs.
            bus_ports = free_ports(3)
            for bus_port in bus_ports:
                # On a busy machine, one that runs may be silent for long.
                options = ("--cluster-port", str(bus_port), "--cluster-node-timeout", "60000")
                self.nodes.append(RedisServer(folder, "--cluster-enabled", "yes", *options).start())
            self._join(bus_ports[0])
            failing.pop_all()

    def _join(self, first_bus_port: int) -> None:
        bounds = (0, 5461, 10923, 16384)
        for number, node in enumerate(self.nodes):
            assert b"OK" in node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            assert b"OK" in node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                assert b"OK" in node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, first_bus_port)
        for node in self.nodes:
            until(lambda node=node: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"), "the cluster is whole")  # type: ignore[misc]

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def stop(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.stop()


AOF = ("--appendonly", "yes", "--appendfsync", "always")


def until(holds: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fails when it takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def _field(reply: bytes, name: str) -> str:
    words = reply.decode().split("\r\n")
    return words[words.index(name) + 2] if name in words else ""
