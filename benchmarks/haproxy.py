"""haproxy as rival: with splice for plain origins, with large buffers where TLS makes splicing impossible."""

import re
import shutil
import subprocess
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
    server origin 127.0.0.1:{origin_port}{server_options}
"""


def find() -> str | None:
    """Path of the haproxy on this machine."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def version(program: str) -> str:
    """Version number."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\S+)", said)
    return match[1] if match else "unknown"


def peer(program: str, folder: Path, port: int, *, origin_port: int, tls: bool, workers: int) -> Daemon:
    """haproxy in front of an origin."""
    name = f"haproxy-{workers}"
    configuration = folder / f"{name}.cfg"
    configuration.write_text(
        _FRAME.format(
            threads=workers,
            tuning="tune.bufsize 262144" if tls else "tune.pipesize 1048576",
            port=port,
            backend="" if tls else "option splice-response",
            origin_port=origin_port,
            server_options=" ssl verify none ssl-min-ver TLSv1.3" if tls else "",
        )
    )
    return Daemon(name, [program, "-db", "-f", str(configuration)], folder, port)
