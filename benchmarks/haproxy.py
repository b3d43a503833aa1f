"""haproxy as a rival: with splice for plain origins, and with large buffers where TLS makes splicing impossible."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.daemon import Daemon

SPLICING = "haproxy splice"
COPYING = "haproxy 256k"

# Pipes of 1 MiB as ours; what splices is `option splice-response`. Pipes, two descriptors each, and connections must
# fit into the limit of descriptors, hence maxconn.
_FRAME = """
global
    nbthread {threads}
    maxconn 4000
    maxpipes 1500
    no strict-limits
    {tuning}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    http-reuse safe
frontend consumers
    bind 127.0.0.1:{port} backlog 4096
    default_backend origin
backend origin
    {backend}
    server origin {origin}{server_options}
"""


def find() -> str | None:
    """Return the path of haproxy on this machine."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def version(program: str) -> str:
    """Return its version."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\S+)", said)
    return match[1] if match else "unknown"


def peer(program: str, folder: Path, port: int, *, origin: str, tls: bool, workers: int) -> Daemon:
    """Start haproxy in front of an origin, `host:port`."""
    name = f"haproxy-{workers}"
    return Daemon(name, command(program, folder, name, port, origin=origin, tls=tls, workers=workers), folder, port)


def command(
    program: str, folder: Path, name: str, port: int, *, origin: str, tls: bool, workers: int = 1
) -> Sequence[str]:
    """Write its configuration. Return the command that runs it."""
    configuration = folder / f"{name}.cfg"
    configuration.write_text(
        _FRAME.format(
            threads=workers,
            tuning="tune.bufsize 262144" if tls else "tune.pipesize 1048576",
            port=port,
            backend="" if tls else "option splice-response",
            origin=origin,
            server_options=" ssl verify none ssl-min-ver TLSv1.3" if tls else "",
        )
    )
    return [program, "-db", "-f", str(configuration)]
