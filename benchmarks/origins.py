"""The origin of a run: nginx with sendfile, or our own where nginx is absent."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import certificates, nginx
from benchmarks.daemon import PartFailed
from benchmarks.traffic import File
from provider.demo import pattern
from provider.demo.child import Children
from provider.demo.http_client import request
from provider.demo.ports import free_ports
from provider.demo.stage import READY_SECONDS, launch_origin

MEMORY_FOLDER = Path("/dev/shm")
# Name of the folder with the origin's files.
FILES = "www"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the files come from. `url` is what is published, `port` what rivals ask, both over TLS if `trusted`, the
    PEM file to be trusted, is given; `requests_seen` counts what was asked of it, None when this build cannot.
    """

    label: str
    url: str
    port: int
    pid: int
    requests_seen: Callable[[], int] | None
    trusted: Path | None = None


def start(stack: ExitStack, children: Children, folder: Path, files: Sequence[File], *, tls: bool) -> Origin:
    """Start it with these files. Raises PartFailed when TLS is asked for and there is no nginx."""
    program = nginx.find()
    if program is not None:
        return _nginx(stack, program, folder, files, tls=tls)
    if tls:
        raise PartFailed("skipped, because nginx, the origin over HTTPS, is not installed")
    if any(file.source is not None for file in files):
        raise PartFailed("skipped, because nginx, the origin of this file, is not installed")
    child = launch_origin(children)
    url = str(child.read_ready_line(READY_SECONDS)["url"])
    port = int(url.rpartition(":")[2])
    return Origin(
        "provider.demo.origin", url, port, child.pid, lambda: int(request("GET", f"{url}/stats").json()["requests"])
    )


def _nginx(stack: ExitStack, program: str, folder: Path, files: Sequence[File], *, tls: bool) -> Origin:
    write_files(folder / FILES, files)
    certificate = certificates.make(folder) if tls else None
    plain_port, tls_port = free_ports(2)
    running = stack.enter_context(
        nginx.origin(program, folder, plain_port, folder / FILES, tls_port=tls_port, certificate=certificate)
    )
    plain_url = f"http://127.0.0.1:{plain_port}"
    counter = nginx.RequestCounter(plain_url) if nginx.counts_requests(program) else None
    if certificate is None:
        return Origin("nginx, sendfile", plain_url, plain_port, running.pid, counter)
    url = f"https://127.0.0.1:{tls_port}"
    return Origin("nginx, TLS 1.3", url, tls_port, running.pid, counter, certificate.certificate_path)


def roomy_folder(files: Sequence[File]) -> Path | None:
    """Where the origin's files go: memory, if they leave half of it free, else the temporary folder."""
    needed = sum(file.size_bytes for file in files)
    if MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free > 2 * needed:
        return MEMORY_FOLDER
    return None


def write_files(root: Path, files: Sequence[File]) -> None:
    """Write the files below `root`."""
    for file in files:
        path = root / file.path.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.source is not None:
            shutil.copy(file.source, path)
            continue
        with path.open("wb") as target:
            for piece in pattern.pieces(0, file.size_bytes):
                target.write(piece)
