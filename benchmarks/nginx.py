"""nginx as origin (sendfile) and as rival (`proxy_pass`), each in a process of its own, from one folder."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.failures import PartFailed
from provider.demo.http_client import request

START_SECONDS = 10.0
STOP_SECONDS = 5.0
STATUS_PATH = "/nginx-status"

# The two tunings that move most bytes for a CPU second (measured: other buffer sizes cost more), and no tuning.
# Upstream keep-alive is part of any tuning; without it nginx speaks HTTP/1.0 and connects for each request.
KEEP_ALIVE = 'proxy_http_version 1.1; proxy_set_header Connection "";'
PEERS: Mapping[str, str] = {
    "nginx default": "proxy_pass http://{origin};",
    "nginx tuned, buffering off 256k": (
        f"proxy_pass http://origin; {KEEP_ALIVE} proxy_buffering off; proxy_buffer_size 256k; proxy_buffers 8 256k; "
        "proxy_busy_buffers_size 512k;"
    ),
    "nginx tuned, buffering on 8x128k": (
        f"proxy_pass http://origin; {KEEP_ALIVE} proxy_max_temp_file_size 0; proxy_buffer_size 128k; "
        "proxy_buffers 8 128k; proxy_busy_buffers_size 512k;"
    ),
}
TUNED = frozenset(name for name in PEERS if "tuned" in name)

_FRAME = """
{user}
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    {temp_paths}
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {server}
    }}
}}
"""


def find() -> str | None:
    """Path of the nginx on this machine."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/nginx/sbin")


def version(program: str) -> str:
    """Version number."""
    match = re.search(r"nginx/(\S+)", _build_info(program))
    return match[1] if match else "unknown"


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


class Nginx:
    """A running nginx with one worker; its files are in `folder`, which it names with `name`."""

    def __init__(self, program: str, name: str, folder: Path, port: int, *, server: str, http: str = "") -> None:
        self.name, self.port = name, port
        self._errors = folder / f"{name}.error"
        configuration = folder / f"{name}.conf"
        configuration.write_text(
            _FRAME.format(
                user=_user_line(),
                folder=folder,
                name=name,
                port=port,
                temp_paths=_temp_paths(program, folder, name),
                http=http,
                server=server,
            )
        )
        self._output = (folder / f"{name}.output").open("w+b")
        self._process = subprocess.Popen(
            [program, "-e", str(self._errors), "-p", str(folder), "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the master; the worker is its child."""
        return self._process.pid

    def __enter__(self) -> "Nginx":
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise PartFailed(f"{self.name} did not start: {self._tail()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _tail(self) -> str:
        self._output.seek(0)
        said = self._output.read().decode("utf-8", "replace")
        return (said + (self._errors.read_text() if self._errors.exists() else "")).strip()[-1000:]

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def origin(program: str, folder: Path, port: int, root: Path) -> Nginx:
    """An origin that serves the files of `root` with sendfile."""
    status = f"location = {STATUS_PATH} {{ stub_status; }}" if counts_requests(program) else ""
    return Nginx(program, "origin", folder, port, server=f"root {root}; {status}", http="sendfile on; tcp_nopush on;")


def peer(program: str, folder: Path, port: int, name: str, origin_port: int) -> Nginx:
    """One of `PEERS` in front of an origin."""
    address = f"127.0.0.1:{origin_port}"
    upstream = f"upstream origin {{ server {address}; keepalive 512; keepalive_requests 1000000000; }}"
    location = PEERS[name].replace("{origin}", address)
    file_name = re.sub(r"[^a-z0-9]+", "-", name)
    return Nginx(program, file_name, folder, port, server=f"location / {{ {location} }}", http=upstream)


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
