"""nginx and Apache on a folder of files: real origins, and judges of what HTTP says about files."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provider.testing.http_client import request
from provider.testing.ports import free_ports
from tests.support.origin import wait_until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
APACHE = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin") or shutil.which("httpd")
_APACHE_MODULES = Path("/usr/lib/apache2/modules")

_NGINX_CONF = """{user}
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    access_log off;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {files};
        # Any date that is not earlier, as RFC 9110 section 13.1.3 has it; nginx compares for the same one by default.
        location /by-the-book/ {{ alias {files}/; if_modified_since before; }}
    }}
}}
"""

_APACHE_CONF = """{user}
ServerName 127.0.0.1
ServerRoot {work}
PidFile {work}/apache.pid
ErrorLog {work}/error.log
Mutex file:{work} default
Listen 127.0.0.1:{port}
{modules}
TypesConfig /dev/null
AddType text/csv .csv
AddEncoding x-gzip .gz
DocumentRoot {files}
<Directory {files}>
    Require all granted
</Directory>
"""


@contextmanager
def nginx(files: Path, work: Path) -> Iterator[str]:
    """Run nginx on `files`, with default settings except in `/by-the-book/`, and return its URL."""
    assert NGINX is not None
    (port,) = free_ports(1)
    (work / "nginx.conf").write_text(_NGINX_CONF.format(user=_user("user {};"), work=work, files=files, port=port))
    with _running([NGINX, "-e", f"{work}/error.log", "-p", str(work), "-c", f"{work}/nginx.conf"], port) as url:
        yield url


@contextmanager
def apache(files: Path, work: Path) -> Iterator[str]:
    """Run Apache on `files`; it labels `.gz` as many installations do (`AddEncoding x-gzip .gz`). Returns its URL."""
    assert APACHE is not None
    (port,) = free_ports(1)
    modules = "\n".join(
        f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "mime", "unixd")
        if (_APACHE_MODULES / f"mod_{name}.so").exists()
    )
    configuration = _APACHE_CONF.format(user=_user("User {}"), work=work, files=files, port=port, modules=modules)
    (work / "apache.conf").write_text(configuration)
    with _running([APACHE, "-X", "-f", f"{work}/apache.conf"], port) as url:
        yield url


def _user(line: str) -> str:
    """Started by root, workers would change to a user that cannot read the files. Apache refuses to be root."""
    if os.geteuid() != 0:
        return ""
    return line.format(pwd.getpwuid(0).pw_name if line.startswith("user") else "www-data")


@contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: process.poll() is not None or _answers(url))
        assert process.poll() is None, "it says why on stderr"
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return request("GET", f"{url}/none").status == 404
    except OSError:
        return False
