"""Varnish as rival: whole objects in memory, streamed to readers while they are fetched.

It has no slices and speaks no TLS to origins. Where the origin does, haproxy stands between, and its CPU time counts.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.daemon import Daemon

CACHING = "Varnish"
# More than every file of a run, so that nothing is evicted.
STORAGE = "malloc,16g"

# Queries and cookies are no part of what is cached. `do_stream` is the default, and all that 50 readers need.
_VCL = """
vcl 4.1;
backend origin {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{ return (hash); }}
sub vcl_backend_response {{ set beresp.ttl = 1h; set beresp.do_stream = true; }}
"""


def find() -> str | None:
    """Return the path of the varnishd on this machine."""
    return shutil.which("varnishd") or shutil.which("varnishd", path="/usr/sbin:/usr/local/sbin")


def version(program: str) -> str:
    """Return the version number."""
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"varnish-(\S+)", said)
    return match[1] if match else "unknown"


def peer(program: str, folder: Path, port: int, *, origin: str, before: Sequence[str] = ()) -> Daemon:
    """Start Varnish in front of an origin, `host:port`. `before`: a command that runs beside it."""
    host, _, origin_port = origin.rpartition(":")
    configuration = folder / "varnish.vcl"
    configuration.write_text(_VCL.format(host=host, port=origin_port))
    listen = ["-a", f"127.0.0.1:{port}", "-n", str(folder / "varnish")]
    # As large as the buffers of the others, and one pool of threads for one core.
    tuning = ["-p", "fetch_chunksize=1m", "-p", "thread_pools=1"]
    command = [program, "-F", "-j", "none", "-f", str(configuration), "-s", STORAGE, *listen, *tuning]
    if before:
        command = ["sh", "-c", f"{shlex.join(before)} & exec {shlex.join(command)}"]
    return Daemon("varnish", command, folder, port)
