"""Runs nginx and Caddy with the files of `conf/`; only names, ports and certificates are put in their place.

And, before a server that speaks HTTPS itself, programs with as short a configuration as people write.
"""

import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provider.crypto.certificate import TlsFiles
from provider.testing.http_client import request
from provider.testing.ports import free_ports
from tests.support.origin import wait_until

ROOT = Path(__file__).parents[2]
NGINX_CONF = ROOT / "conf/nginx/provider.conf"
CADDYFILE = ROOT / "conf/caddy/Caddyfile"
CADDY_CUTS_FROM = (2, 8)  # caddyserver/caddy issue 5951

_NGINX_FRAME = """{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/provider.conf;
}}
"""


@dataclass(frozen=True)
class Front:
    """A running front: where consumers go, and what it has written."""

    url: str
    folder: Path

    def log_text(self) -> str:
        """All its logs."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@contextmanager
def nginx_front(
    program: str, folder: Path, server_port: int, tls: TlsFiles, more: Mapping[str, str] | None = None
) -> Iterator[Front]:
    """nginx before the server on `server_port`. `more`: other texts to replace."""
    http_port, https_port = free_ports(2)
    replaced = {
        "server 127.0.0.1:8030;": f"server 127.0.0.1:{server_port};",
        "listen 80;": f"listen 127.0.0.1:{http_port};",
        "listen [::]:80;": "",
        "listen 443 ssl;": f"listen 127.0.0.1:{https_port} ssl;",
        "listen [::]:443 ssl;": "",
        "/etc/nginx/tls/provider.pem": tls.certificate,
        "/etc/nginx/tls/provider.key": tls.key,
        "/var/log/nginx/": f"{folder}/",
        **(more or {}),
    }
    (folder / "provider.conf").write_text(rendered(NGINX_CONF, replaced))
    # Workers that root starts would change to a user that cannot read the folder.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX_FRAME.format(user=user, folder=folder))
    command = [program, "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with running(command, folder, f"https://127.0.0.1:{https_port}") as front:
        yield front


@contextmanager
def caddy_front(
    program: str, folder: Path, server_port: int, tls: TlsFiles, more: Mapping[str, str] | None = None
) -> Iterator[Front]:
    """Caddy before the server on `server_port`, with a given certificate instead of one that it gets itself.

    `more`: other texts to replace.
    """
    (https_port,) = free_ports(1)
    replaced = {
        "\tservers {": "\tadmin off\n\tauto_https off\n\tservers {",
        "provider.example {\n": f"https://127.0.0.1:{https_port} {{\n\ttls {tls.certificate} {tls.key}\n",
        "reverse_proxy 127.0.0.1:8030": f"reverse_proxy 127.0.0.1:{server_port}",
        **(more or {}),
    }
    configuration = folder / "Caddyfile"
    configuration.write_text(rendered(CADDYFILE, replaced))
    command = [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]
    with running(command, folder, f"https://127.0.0.1:{https_port}") as front:
        yield front


_PLAIN_NGINX = """server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass https://127.0.0.1:{server_port}; {more} }}
}}
"""
_PLAIN_HAPROXY = """defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend consumers
    bind 127.0.0.1:{port}
    default_backend provider
backend provider
    server provider 127.0.0.1:{server_port} ssl verify none {more}
"""
_PLAIN_CADDY = """{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy https://127.0.0.1:{server_port} {{
        transport http {{
            tls_insecure_skip_verify
            {more}
        }}
    }}
}}
"""


@contextmanager
def nginx_to_https(program: str, folder: Path, server_port: int, more: str = "") -> Iterator[Front]:
    """nginx with `proxy_pass https://…`, which speaks HTTP/1.0 unless `more` says otherwise."""
    (port,) = free_ports(1)
    (folder / "provider.conf").write_text(_PLAIN_NGINX.format(port=port, server_port=server_port, more=more))
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX_FRAME.format(user=user, folder=folder))
    command = [program, "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, folder, f"http://127.0.0.1:{port}") as front:
        yield front


@contextmanager
def haproxy_to_https(program: str, folder: Path, server_port: int, more: str = "") -> Iterator[Front]:
    """haproxy with a server over TLS."""
    (port,) = free_ports(1)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_PLAIN_HAPROXY.format(port=port, server_port=server_port, more=more))
    with running([program, "-db", "-f", str(configuration)], folder, f"http://127.0.0.1:{port}") as front:
        yield front


@contextmanager
def caddy_to_https(program: str, folder: Path, server_port: int, more: str = "") -> Iterator[Front]:
    """Caddy with a `reverse_proxy` over TLS."""
    (port,) = free_ports(1)
    configuration = folder / "Caddyfile"
    configuration.write_text(_PLAIN_CADDY.format(port=port, server_port=server_port, more=more))
    command = [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]
    with running(command, folder, f"http://127.0.0.1:{port}") as front:
        yield front


_CACHING_NGINX = """{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    access_log off;
    proxy_cache_path {folder}/cache keys_zone=cache:10m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{server_port};
            proxy_http_version 1.1;
            proxy_cache cache;
            proxy_cache_valid 200 1m;
            add_header X-Cache $upstream_cache_status;
        }}
    }}
}}
"""


@contextmanager
def caching_nginx(program: str, folder: Path, server_port: int) -> Iterator[Front]:
    """nginx that caches each 200 for a minute, unless the answer says otherwise."""
    (port,) = free_ports(1)
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    text = _CACHING_NGINX.format(user=user, folder=folder, port=port, server_port=server_port)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, folder, f"http://127.0.0.1:{port}") as front:
        yield front


@contextmanager
def varnish(program: str, folder: Path, server_port: int) -> Iterator[Front]:
    """Varnish with the rules that it brings along."""
    (port,) = free_ports(1)
    listen, backend = f"127.0.0.1:{port}", f"127.0.0.1:{server_port}"
    command = [program, "-F", "-n", str(folder / "varnish"), "-a", listen, "-b", backend, "-s", "malloc,64m"]
    with running(command, folder, f"http://127.0.0.1:{port}") as front:
        yield front


def rendered(path: Path, replaced: Mapping[str, str]) -> str:
    """The file with each text replaced, which has to be there."""
    text = path.read_text(encoding="utf-8")
    for before, after in replaced.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def running(command: list[str], folder: Path, url: str) -> Iterator[Front]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        wait_until(lambda: process.poll() is not None or _answers(url))
        assert process.poll() is None, (folder / "output.log").read_text()
        yield Front(url, folder)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            # Connections that a failed test has left open.
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return request("GET", url).status == 200
    except OSError:
        return False


def skip_caddy_that_hides_cuts(program: str) -> None:
    """Skip a test with a Caddy that ends a cut body of unknown length as if it were whole; fine with other programs."""
    if Path(program).name == "caddy" and caddy_version(program) < CADDY_CUTS_FROM:
        pytest.skip("this Caddy ends a cut body of unknown length as if it were whole")


def caddy_version(program: str) -> tuple[int, int]:
    """Major and minor."""
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)
