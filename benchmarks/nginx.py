"""nginx as an origin (sendfile, with TLS on request) and as a rival (`proxy_pass`), each in its own processes."""

import hashlib
import os
import pwd
import re
import resource
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from benchmarks.certificates import Certificate
from benchmarks.daemon import LOCALHOST, Daemon
from benchmarks.distance import Distance
from provider.testing.http_client import request

STATUS_PATH = "/nginx-status"
DEFAULT = "nginx default"
UNBUFFERED = "nginx tuned, buffering off 256k"
BUFFERED = "nginx tuned, buffering on 8x128k"
CACHING = "nginx slice cache"
STATIC = "nginx, files by sendfile"
SECURE_LINK = "nginx secure_link"
_LINK_SECRET, _LINKS_END = "a secret of this benchmark", 1 << 33  # the year 2242

# Two tunings that move most bytes per CPU second (measured: other buffer sizes cost more), and no tuning. Upstream
# keep-alive is part of every tuning; without it nginx speaks HTTP/1.0 and connects for each request.
_KEEP_ALIVE = 'proxy_http_version 1.1; proxy_set_header Connection "";'
LOCATIONS: Mapping[str, str] = {
    DEFAULT: "proxy_pass {scheme}://{address};",
    UNBUFFERED: (
        f"proxy_pass {{scheme}}://origin; {_KEEP_ALIVE} proxy_buffering off; proxy_buffer_size 256k; "
        "proxy_buffers 8 256k; proxy_busy_buffers_size 512k;"
    ),
    BUFFERED: (
        f"proxy_pass {{scheme}}://origin; {_KEEP_ALIVE} proxy_max_temp_file_size 0; proxy_buffer_size 128k; "
        "proxy_buffers 8 128k; proxy_busy_buffers_size 512k;"
    ),
    # As large as our slices.
    CACHING: (
        f"proxy_pass {{scheme}}://origin; {_KEEP_ALIVE} slice 8m; proxy_cache slices; proxy_cache_lock on; "
        "proxy_cache_key $uri$slice_range; proxy_cache_valid 200 206 1h; proxy_set_header Range $slice_range; "
        "proxy_buffer_size 128k; proxy_buffers 8 128k; proxy_busy_buffers_size 512k;"
    ),
}
LOCATIONS = {
    **LOCATIONS,
    SECURE_LINK: (
        f'secure_link $arg_md5,$arg_expires; secure_link_md5 "$secure_link_expires$uri {_LINK_SECRET}"; '
        f'if ($secure_link != "1") {{{{ return 403; }}}} {LOCATIONS[UNBUFFERED]}'
    ),
}

_FRAME = """
{user}
worker_processes {workers};
daemon off;
pid {folder}/{name}.pid;
worker_rlimit_nofile {descriptors};
events {{ worker_connections 32768; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    send_timeout 600s;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    {temp_paths}
    {http}
    server {{
        listen {host}:{port} backlog=4096{listen_options};
        {server}
    }}
}}
"""


def secure_link(path: str) -> str:
    """Return the request target of a link to `path`, as `SECURE_LINK` checks it."""
    digest = hashlib.md5(f"{_LINKS_END}{path} {_LINK_SECRET}".encode()).digest()
    return f"{path}?md5={urlsafe_b64encode(digest).rstrip(b'=').decode()}&expires={_LINKS_END}"


def find() -> str | None:
    """Return the path of nginx on this machine."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/nginx/sbin")


def version(program: str) -> str:
    """Return its version."""
    match = re.search(r"nginx/(\S+)", _build_info(program))
    return match[1] if match else "unknown"


def has_secure_link(program: str) -> bool:
    """True if this build can check links."""
    return "--with-http_secure_link_module" in _build_info(program)


def counts_requests(program: str) -> bool:
    """True if this build reports the number of requests."""
    return "--with-http_stub_status_module" in _build_info(program)


def parse_requests(status_page: str) -> int:
    """Parse the number of requests from a stub_status page, which counts itself."""
    match = re.search(r"requests\s+\d+\s+\d+\s+(\d+)", status_page)
    if match is None:
        raise ValueError("not a stub_status page")
    return int(match[1])


class RequestCounter:
    """Counts requests that the nginx behind `url` has received, without those for its status page.

    Only differences mean something.
    """

    def __init__(self, url: str) -> None:
        self._url = url + STATUS_PATH
        self._looks = 0

    def __call__(self) -> int:
        """Requests so far."""
        self._looks += 1
        return parse_requests(request("GET", self._url).body.decode()) - self._looks


class BytesCounter:
    """Counts the bytes of bodies in the access log of `origin`. A body counts when it has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._total = 0

    def __call__(self) -> int:
        """Return the bytes so far."""
        with self._path.open("rb") as log:
            log.seek(self._position)
            lines = log.read()
        # A line that is being written is read the next time.
        whole = lines[: lines.rfind(b"\n") + 1]
        self._position += len(whole)
        self._total += sum(map(int, whole.split()))
        return self._total


def bytes_log(folder: Path) -> Path:
    """Return the path where `origin` logs the size of each body that it has sent."""
    return folder / "origin-bytes.log"


def origin(
    program: str,
    folder: Path,
    port: int,
    root: Path,
    *,
    tls_port: int | None,
    certificate: Certificate | None,
    distance: Distance | None,
    send_bytes: int | None = None,
) -> Daemon:
    """Start an origin that serves the files of `root` with sendfile, on a second port over TLS 1.3, or far away.

    `send_bytes`: size of its send buffers; None: as large as the system makes them.
    """
    host = LOCALHOST if distance is None else distance.address
    status = f"location = {STATUS_PATH} {{ stub_status; access_log off; }}" if counts_requests(program) else ""
    status += f"access_log {bytes_log(folder)} body;"
    http = "sendfile on; tcp_nopush on; log_format body $body_bytes_sent;"
    if certificate is not None:
        status += f"listen {host}:{tls_port} ssl backlog=4096;"
        http += (
            f"ssl_certificate {certificate.certificate_path}; ssl_certificate_key {certificate.key_path}; "
            "ssl_protocols TLSv1.3; ssl_session_cache shared:origin:10m;"
        )
    server = f"root {root}; {status}"
    return _daemon(program, "origin", folder, port, server=server, http=http, send_bytes=send_bytes, distance=distance)


def static(program: str, folder: Path, port: int, root: Path) -> Daemon:
    """Start a server of the files of `root`, as a rival."""
    return _daemon(program, "static", folder, port, server=f"root {root};", http="sendfile on; tcp_nopush on;")


def peer(
    program: str, folder: Path, port: int, name: str, *, origin: str, tls: bool, workers: int, disk: Path
) -> Daemon:
    """Start one of `LOCATIONS` in front of an origin, `host:port`. `disk`: where it caches, if it does."""
    upstream = f"upstream origin {{ server {origin}; keepalive 512; keepalive_requests 1000000000; }}"
    if tls:
        upstream += "proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;"
    if name == CACHING:
        upstream += (
            f"sendfile on; proxy_cache_path {disk}/nginx-cache levels=1:2 keys_zone=slices:16m max_size=20g "
            "use_temp_path=off inactive=1h;"
        )
    location = LOCATIONS[name].format(scheme="https" if tls else "http", address=origin)
    file_name = re.sub(r"[^a-z0-9]+", "-", f"{name} {workers}")
    server = f"location / {{ {location} }}"
    return _daemon(program, file_name, folder, port, server=server, http=upstream, workers=workers)


def _daemon(
    program: str,
    name: str,
    folder: Path,
    port: int,
    *,
    server: str,
    http: str = "",
    workers: int = 1,
    send_bytes: int | None = None,
    distance: Distance | None = None,
) -> Daemon:
    host, enter = (LOCALHOST, ()) if distance is None else (distance.address, distance.enter)
    # With several workers each has its own queue, as our workers have.
    options = " reuseport" if workers > 1 else ""
    if send_bytes is not None:
        options += f" sndbuf={send_bytes}"
    configuration = folder / f"{name}.conf"
    configuration.write_text(
        _FRAME.format(
            user=_user_line(),
            workers=workers,
            descriptors=_descriptors(),
            folder=folder,
            name=name,
            host=host,
            port=port,
            listen_options=options,
            temp_paths=_temp_paths(program, folder, name),
            http=http,
            server=server,
        )
    )
    command = [*enter, program, "-e", "/dev/stderr", "-p", str(folder), "-c", str(configuration)]
    return Daemon(name, command, folder, port, host=host)


def _descriptors() -> int:
    return min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _build_info(program: str) -> str:
    return subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr


def _user_line() -> str:
    """A worker that root starts would change to a user that cannot read the folder."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""


def _temp_paths(program: str, folder: Path, name: str) -> str:
    """Return settings of folders that nginx creates at start for built-in modules, where only root may write."""
    build = _build_info(program)
    modules = [each for each in ("fastcgi", "uwsgi", "scgi") if f"--without-http_{each}_module" not in build]
    return " ".join(f"{each}_temp_path {folder}/{name}-{each};" for each in modules)
