"""Fronts before a plain server, each with as little configuration as it takes, kept connections to the server, and
limits of a second where a client does not send what it announced."""

import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provider.testing.ports import free_ports
from tests.deploy.fronts import Front, running

_NGINX = """{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    access_log off;
    client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
    upstream provider {{ server 127.0.0.1:{server_port}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
_HAPROXY = """defaults
    mode http
    timeout connect 5s
    timeout client 1s
    timeout server 5s
    timeout http-request 1s
    http-reuse always
frontend consumers
    bind 127.0.0.1:{port}
    default_backend provider
backend provider
    server provider 127.0.0.1:{server_port}
"""
_APACHE = """ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
{modules}
Timeout 1
KeepAliveTimeout 1
ProxyPass / http://127.0.0.1:{server_port}/ enablereuse=on
"""
_APACHE_MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http")
_SQUID = """http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent {server_port} 0 no-query no-digest originserver
http_access allow all
cache deny all
access_log none
cache_log /dev/null
pid_filename none
coredump_dir /
pinger_enable off
shutdown_lifetime 1 seconds
request_timeout 1 seconds
client_idle_pconn_timeout 1 seconds
read_timeout 3 seconds
"""
_CADDY = """{{
    admin off
    auto_https off
    servers {{
        timeouts {{
            read_header 1s
            read_body 1s
            idle 1s
        }}
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{server_port}
}}
"""


@dataclass(frozen=True)
class _Program:
    """How one is run: its configuration file, and the arguments with that file's path."""

    program: str
    text: str
    arguments: Callable[[Path, int, int], list[str]]


def _nginx_user() -> str:
    """Workers of root would change to a user that cannot read the folder."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""


_PROGRAMS: Mapping[str, _Program] = {
    "nginx": _Program("nginx", _NGINX, lambda path, *_: ["-e", f"{path.parent}/error.log", "-c", str(path)]),
    "haproxy": _Program("haproxy", _HAPROXY, lambda path, *_: ["-db", "-f", str(path)]),
    "Apache": _Program("apache2", _APACHE, lambda path, *_: ["-DFOREGROUND", "-f", str(path)]),
    "Varnish": _Program(
        "varnishd",
        "",
        lambda path, port, server_port: [
            *("-F", "-n", f"{path.parent}/varnish", "-s", "malloc,16M", "-j", "none"),
            *("-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{server_port}", "-p", "timeout_idle=1"),
        ],
    ),
    # Its name keeps its shared memory apart from that of others on this machine.
    "squid": _Program("squid", _SQUID, lambda path, port, _: ["-N", "-n", f"fuzz{port}", "-f", str(path)]),
    "Caddy": _Program("caddy", _CADDY, lambda path, *_: ["run", "--config", str(path), "--adapter", "caddyfile"]),
}
PROXIES = {name: program.program for name, program in _PROGRAMS.items()}
"""The fronts and the programs that they are."""


@contextmanager
def proxy(name: str, program: str, folder: Path, server_port: int) -> Iterator[Front]:
    """The front of this name, run from `program`, before the server on `server_port`."""
    known = _PROGRAMS[name]
    (port,) = free_ports(1)
    modules = "\n".join(
        f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so" for module in _APACHE_MODULES
    )
    path = folder / f"{known.program}.conf"
    path.write_text(
        known.text.format(folder=folder, port=port, server_port=server_port, user=_nginx_user(), modules=modules)
    )
    with running([program, *known.arguments(path, port, server_port)], folder, f"http://127.0.0.1:{port}") as front:
        yield front
