"""nginx as origin (sendfile, with TLS if asked) and as rival (`proxy_pass`), each in processes of its own."""

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
from benchmarks.daemon import Daemon
from provider.demo.http_client import request

STATUS_PATH = "/nginx-status"
DEFAULT = "nginx default"
UNBUFFERED = "nginx tuned, buffering off 256k"
BUFFERED = "nginx tuned, buffering on 8x128k"
CACHING = "nginx slice cache"
STATIC = "nginx, files by sendfile"
SECURE_LINK = "nginx secure_link"
_LINK_SECRET, _LINKS_END = "a secret of this benchmark", 1 << 33  # the year 2242

# The two tunings that move most bytes for a CPU second (measured: other buffer sizes cost more), and no tuning.
# Upstream keep-alive is part of any tuning; without it nginx speaks HTTP/1.0 and connects for each request.
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
        listen 127.0.0.1:{port} backlog=4096{listen_options};
        {server}
    }}
}}
"""


def secure_link(path: str) -> str:
    """Request target of a link to `path`, as `SECURE_LINK` checks it."""
    digest = hashlib.md5(f"{_LINKS_END}{path} {_LINK_SECRET}".encode()).digest()
    return f"{path}?md5={urlsafe_b64encode(digest).rstrip(b'=').decode()}&expires={_LINKS_END}"


def find() -> str | None:
    """Path of the nginx on this machine."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/nginx/sbin")


def version(program: str) -> str:
    """Version number."""
    match = re.search(r"nginx/(\S+)", _build_info(program))
    return match[1] if match else "unknown"


def has_secure_link(program: str) -> bool:
    """Can this build check links?"""
    return "--with-http_secure_link_module" in _build_info(program)


def counts_requests(program: str) -> bool:
    """Can this build say how many requests it saw?"""
    return "--with-http_stub_status_module" in _build_info(program)


def parse_requests(status_page: str) -> int:
    """Number of requests from a stub_status page; it counts itself."""
    match = re.search(r"requests\s+\d+\s+\d+\s+(\d+)", status_page)
    if match is None:
        raise ValueError("not a stub_status page")
    return int(match[1])


class RequestCounter:
    """Requests that the nginx behind `url` saw, its own looks not counted; only differences mean something."""

    def __init__(self, url: str) -> None:
        self._url = url + STATUS_PATH
        self._looks = 0

    def __call__(self) -> int:
        """Requests so far."""
        self._looks += 1
        return parse_requests(request("GET", self._url).body.decode()) - self._looks


def origin(
    program: str, folder: Path, port: int, root: Path, *, tls_port: int | None, certificate: Certificate | None
) -> Daemon:
    """An origin that serves the files of `root` with sendfile, on a second port over TLS 1.3."""
    status = f"location = {STATUS_PATH} {{ stub_status; }}" if counts_requests(program) else ""
    http = "sendfile on; tcp_nopush on;"
    if certificate is not None:
        status += f"listen 127.0.0.1:{tls_port} ssl backlog=4096;"
        http += (
            f"ssl_certificate {certificate.certificate_path}; ssl_certificate_key {certificate.key_path}; "
            "ssl_protocols TLSv1.3; ssl_session_cache shared:origin:10m;"
        )
    return _daemon(program, "origin", folder, port, server=f"root {root}; {status}", http=http)


def static(program: str, folder: Path, port: int, root: Path) -> Daemon:
    """A server of the files of `root`, as a rival."""
    return _daemon(program, "static", folder, port, server=f"root {root};", http="sendfile on; tcp_nopush on;")


def peer(
    program: str, folder: Path, port: int, name: str, *, origin_port: int, tls: bool, workers: int, disk: Path
) -> Daemon:
    """One of `LOCATIONS` in front of an origin. `disk`: where it caches, if it does."""
    address = f"127.0.0.1:{origin_port}"
    upstream = f"upstream origin {{ server {address}; keepalive 512; keepalive_requests 1000000000; }}"
    if tls:
        upstream += "proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;"
    if name == CACHING:
        upstream += (
            f"sendfile on; proxy_cache_path {disk}/nginx-cache levels=1:2 keys_zone=slices:16m max_size=20g "
            "use_temp_path=off inactive=1h;"
        )
    location = LOCATIONS[name].format(scheme="https" if tls else "http", address=address)
    file_name = re.sub(r"[^a-z0-9]+", "-", f"{name} {workers}")
    server = f"location / {{ {location} }}"
    return _daemon(program, file_name, folder, port, server=server, http=upstream, workers=workers)


def _daemon(
    program: str, name: str, folder: Path, port: int, *, server: str, http: str = "", workers: int = 1
) -> Daemon:
    configuration = folder / f"{name}.conf"
    configuration.write_text(
        _FRAME.format(
            user=_user_line(),
            workers=workers,
            descriptors=_descriptors(),
            folder=folder,
            name=name,
            port=port,
            # With several workers each has a queue of its own, as our workers have.
            listen_options=" reuseport" if workers > 1 else "",
            temp_paths=_temp_paths(program, folder, name),
            http=http,
            server=server,
        )
    )
    command = [program, "-e", "/dev/stderr", "-p", str(folder), "-c", str(configuration)]
    return Daemon(name, command, folder, port)


def _descriptors() -> int:
    return min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _build_info(program: str) -> str:
    return subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr


def _user_line() -> str:
    """A worker that root starts would change to a user that cannot read the folder."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""


def _temp_paths(program: str, folder: Path, name: str) -> str:
    """Folders that nginx makes at its start for modules that were built in, in places that only root may write to."""
    build = _build_info(program)
    modules = [each for each in ("fastcgi", "uwsgi", "scgi") if f"--without-http_{each}_module" not in build]
    return " ".join(f"{each}_temp_path {folder}/{name}-{each};" for each in modules)
