"""The origin of a run: nginx with sendfile, or our own if nginx is not installed."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import certificates, nginx
from benchmarks.daemon import PartFailed
from benchmarks.distance import Distance
from benchmarks.traffic import File
from provider.testing import pattern
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.ports import free_ports
from provider.testing.stage import READY_SECONDS, launch_origin

MEMORY_FOLDER = Path("/dev/shm")
# Name of the folder with the origin's files.
FILES = "www"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the files come from. `url` is what is published, over TLS if `trusted`, the PEM file to be trusted, is
    given. `requests_seen` and `bytes_sent` count what it was asked for and has sent; None if this build cannot.
    """

    label: str
    url: str
    pid: int
    requests_seen: Callable[[], int] | None
    bytes_sent: Callable[[], int] | None = None
    trusted: Path | None = None

    @property
    def address(self) -> str:
        """Return the host:port that rivals ask."""
        return urlsplit(self.url).netloc


def start(
    stack: ExitStack,
    children: Children,
    folder: Path,
    files: Sequence[File],
    *,
    tls: bool,
    distance: Distance | None = None,
    send_bytes: int | None = None,
) -> Origin:
    """Start it with these files. Raises PartFailed if TLS or a distance is requested and there is no nginx.

    `send_bytes`: size of nginx' send buffers; None: the system's.
    """
    program = nginx.find()
    if program is not None:
        return _nginx(stack, program, folder, files, tls=tls, distance=distance, send_bytes=send_bytes)
    if distance is not None:
        raise PartFailed("skipped, because nginx, the distant origin, is not installed")
    if tls:
        raise PartFailed("skipped, because nginx, the origin over HTTPS, is not installed")
    if any(file.source is not None for file in files):
        raise PartFailed("skipped, because nginx, the origin of this file, is not installed")
    child = launch_origin(children)
    url = str(child.read_ready_line(READY_SECONDS)["url"])
    return Origin(
        "provider.testing.origin", url, child.pid, lambda: int(request("GET", f"{url}/stats").json()["requests"])
    )


def _nginx(
    stack: ExitStack,
    program: str,
    folder: Path,
    files: Sequence[File],
    *,
    tls: bool,
    distance: Distance | None,
    send_bytes: int | None,
) -> Origin:
    write_files(folder / FILES, files)
    certificate = certificates.make(folder) if tls else None
    plain_port, tls_port = free_ports(2)
    running = stack.enter_context(
        nginx.origin(
            program,
            folder,
            plain_port,
            folder / FILES,
            tls_port=tls_port,
            certificate=certificate,
            distance=distance,
            send_bytes=send_bytes,
        )
    )
    plain_url = f"http://{running.host}:{plain_port}"
    sent = nginx.BytesCounter(nginx.bytes_log(folder))
    counter = nginx.RequestCounter(plain_url) if nginx.counts_requests(program) else None
    if certificate is None:
        where = "" if distance is None else f", {distance.label}"
        return Origin(f"nginx, sendfile{where}", plain_url, running.pid, counter, sent)
    url = f"https://{running.host}:{tls_port}"
    return Origin("nginx, TLS 1.3", url, running.pid, counter, sent, certificate.certificate_path)


def roomy_folder(files: Sequence[File]) -> Path | None:
    """Return the folder for the origin's files: in memory if they leave half of it free, else the temporary folder."""
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
