"""A real outbound proxy: squid with a password. Only squid can resolve the names that it is asked for."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provider.testing.ports import free_ports

PASSWORD = "proxyplanted"
_PROGRAM = shutil.which("squid", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/squid/sbin")
_AUTH = Path("/usr/lib/squid/basic_fake_auth")
_CONFIGURATION = """
http_port 127.0.0.1:{port}
hosts_file {folder}/hosts
pid_filename none
cache deny all
cache_log {folder}/cache.log
coredump_dir {folder}
logformat line %rm %ru %>Hs %un
access_log stdio:{folder}/access.log line
auth_param basic program {auth}
acl known proxy_auth REQUIRED
http_access allow known
shutdown_lifetime 0 seconds
"""


@dataclass
class Squid:
    """The running proxy. `url` holds user and password; `lines()` are method, target, status and user of each request
    so far.
    """

    url: str
    folder: Path

    def lines(self) -> list[list[str]]:
        path = self.folder / "access.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def is_installed() -> bool:
    """Tell whether squid is here, with the helper that accepts any password."""
    return _PROGRAM is not None and _AUTH.exists()


@contextmanager
def running_squid(hosts: Mapping[str, str]) -> Iterator[Squid]:
    """`hosts`: addresses by name."""
    # Not below pytest's folder: squid gives up root's rights.
    folder = Path(tempfile.mkdtemp(prefix="squid-"))
    folder.chmod(0o777)
    (port,) = free_ports(1)
    (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
    configuration = folder / "squid.conf"
    configuration.write_text(_CONFIGURATION.format(port=port, folder=folder, auth=_AUTH))
    for path in (folder / "hosts", configuration):
        path.chmod(0o644)
    # -n: shared memory of its own, beside another squid of this machine.
    command = [str(_PROGRAM), "-N", "-n", f"tested{port}", "-f", str(configuration)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while "Accepting HTTP" not in _text(folder / "cache.log"):
            assert process.poll() is None, _text(folder / "cache.log")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Squid(f"http://provider:{PASSWORD}@127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
