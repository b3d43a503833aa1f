"""Fronts that speak HTTPS to the server, as short a configuration as people write: a cut file is never a whole one."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain, launch_server
from tests.deploy.conftest import tool
from tests.deploy.fronts import (
    ROOT,
    Front,
    caddy_to_https,
    haproxy_to_https,
    nginx_to_https,
    skip_caddy_that_hides_cuts,
)
from tests.support.certificates import Authority
from tests.support.origin import Origin, running_origin

SMALL, LARGE = 100_000, 600_000
FILES = {
    "cut chunks": f"/cut/chunked/{LARGE}/300000",
    "cut chunks of a small file": f"/cut/chunked/{SMALL}/50000",
    "cut length": f"/cut/length/{LARGE}/300000",
    "whole chunks": f"/cut/chunked/{LARGE}/{LARGE}",
    "whole chunks of a small file": f"/cut/chunked/{SMALL}/{SMALL}",
    "whole length": f"/cut/length/{LARGE}/{LARGE}",
}
CUT = [name for name in FILES if name.startswith("cut")]
WHOLE = [name for name in FILES if name.startswith("whole")]


class FrontOf(Protocol):
    def __call__(
        self, program: str, folder: Path, server_port: int, more: str = ""
    ) -> AbstractContextManager[Front]: ...


FRONTS: dict[str, tuple[str, FrontOf, str]] = {
    "nginx, HTTP/1.0": ("nginx", nginx_to_https, ""),
    "nginx, HTTP/1.0, kept": ("nginx", nginx_to_https, "proxy_set_header Connection keep-alive;"),
    "nginx, HTTP/1.1": ("nginx", nginx_to_https, 'proxy_http_version 1.1; proxy_set_header Connection "";'),
    "haproxy": ("haproxy", haproxy_to_https, ""),
    "Caddy": ("caddy", caddy_to_https, ""),
}


@dataclass(frozen=True)
class Secure:
    """A server over HTTPS, its origin, and somebody with an order of all files."""

    url: str
    authority: Authority
    origin: Origin
    chain: DemoChain
    asset: Published
    order_tx: str

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    def download_url(self, front_url: str, name: str) -> str:
        consumer = Consumer(self.chain.wallet(SPARE_KEYS[8]), front_url)
        return consumer.download_url(self.asset, self.order_tx, file_index=list(FILES).index(name))


@pytest.fixture(scope="module")
def secure(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = Path(tmp_path_factory.mktemp("secure"))
    authority = Authority(folder)
    files = authority.issue("server")
    url = f"https://127.0.0.1:{free_ports(1)[0]}"
    settings = {
        "OCEAN_PROVIDER_URL": url,
        "PROVIDER_TLS_CERT_FILE": files.certificate,
        "PROVIDER_TLS_KEY_FILE": files.key,
        "PROVIDER_MAX_RESUMES": "0",
    }
    with running_origin() as origin, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.ca_path))
        server = launch_server(children, chain, folder, settings, name="secure")
        server.wait_ready()
        publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, url)
        asset = publisher.publish([url_file(origin.url + path) for path in FILES.values()])
        consumer = Consumer(chain.wallet(SPARE_KEYS[8]), url)
        publisher.mint(asset.datatokens[0], consumer.address)
        yield Secure(url, authority, origin, chain, asset, consumer.order(asset))
        server.child.stop()


@pytest.fixture(scope="module", params=FRONTS)
def front(
    request: pytest.FixtureRequest, secure: Secure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Front]]:
    name, launch, more = FRONTS[request.param]
    program = tool(name)
    skip_caddy_that_hides_cuts(program)
    with launch(program, tmp_path_factory.mktemp(name), secure.port, more) as running:
        yield request.param, running


@dataclass(frozen=True)
class Got:
    """A reply as a careful HTTP/1.1 client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_complete: bool


def got(url: str) -> Got:
    """Ask with HTTP/1.1, without a library that could forgive anything."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        target = f"{parts.path}?{parts.query}"
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        raw = bytearray()
        try:
            while piece := sock.recv(65536):
                raw += piece
            in_order = True
        except ConnectionResetError:
            in_order = False
    head, _, rest = bytes(raw).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status = int(lines[0].split()[1])
    if headers.get("transfer-encoding") == "chunked":
        body, complete = dechunked(rest)
        return Got(status, headers, body, complete)
    if "content-length" in headers:
        return Got(status, headers, rest, len(rest) == int(headers["content-length"]))
    return Got(status, headers, rest, in_order)


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    body = b""
    while match := re.match(rb"([0-9a-fA-F]+)\r\n", raw):
        size = int(match[1], 16)
        if not size:
            return body, True
        body += raw[match.end() : match.end() + size]
        raw = raw[match.end() + size + 2 :]
    return body, False


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_is_never_a_clean_200(front: tuple[str, Front], secure: Secure, name: str) -> None:
    reply = got(secure.download_url(front[1].url, name))
    assert reply.status != 200 or not reply.is_complete
    # Where it could be known before the head left, it is a refusal in order.
    assert reply.status in (200, 400, 426, 502)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_arrives_whole(front: tuple[str, Front], secure: Secure, name: str) -> None:
    reply = got(secure.download_url(front[1].url, name))
    if "HTTP/1.0" in front[0] and name == "whole chunks":
        assert reply.status == 426
        assert b"HTTP/1.1" in reply.body
        return
    assert (reply.status, reply.is_complete) == (200, True)
    assert reply.body == b"x" * (SMALL if "small" in name else LARGE)


# Directly, with a client that takes a bare FIN for what it is


def strictly(secure: Secure, name: str, version: str = "1.1") -> tuple[bytes, OSError | None]:
    plain = socket.create_connection(("127.0.0.1", secure.port), timeout=60)
    context = secure.authority.client_context()
    with context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock:
        parts = urlsplit(secure.download_url(secure.url, name))
        target = f"{parts.path}?{parts.query}"
        sock.sendall(f"GET {target} HTTP/{version}\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        raw = bytearray()
        try:
            while piece := sock.recv(65536):
                raw += piece
        except OSError as error:
            return bytes(raw), error
        return bytes(raw), None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_ends_with_close_notify(secure: Secure, name: str, version: str) -> None:
    raw, error = strictly(secure, name, version)
    assert error is None
    head, _, body = raw.partition(b"\r\n\r\n")
    if version == "1.0" and name == "whole chunks":
        assert head.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nUpgrade: HTTP/1.1" in head
    elif b"Transfer-Encoding" in head:
        assert dechunked(body) == (b"x" * (SMALL if "small" in name else LARGE), True)
    else:
        assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("name", ["cut chunks", "cut length"])
def test_a_cut_file_is_an_error_inside_tls(secure: Secure, name: str) -> None:
    raw, error = strictly(secure, name)
    assert raw.startswith(b"HTTP/1.1 200")
    assert isinstance(error, ssl.SSLError)
    assert not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def test_an_http_1_0_client_over_plain_http_is_served_to_the_end_of_the_connection(
    secure: Secure, children: Children, tmp_path: Path
) -> None:
    """Where a cut is a reset, the end of the connection tells enough."""
    server = launch_server(children, secure.chain, tmp_path, {}, name="plain")
    server.wait_ready()
    parts = urlsplit(secure.download_url(server.url, "whole chunks"))
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.0\r\n\r\n".encode())
        raw = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"x" * LARGE
    server.child.stop()


# Examples


def test_every_example_of_nginx_speaks_http_1_1_to_the_server() -> None:
    pages = [path for folder in ("conf", "docs") for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    proxies = 0
    for path in [*pages, ROOT / "README.md"]:
        if path.suffix in {".png", ".svg"}:
            continue
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"proxy_pass\s+https?://", text):
            proxies += 1
            # The block that it stands in.
            block = text[text.rfind("{", 0, match.start()) : text.find("}", match.start())]
            assert "proxy_http_version 1.1;" in block, path
    assert proxies >= 1


def test_the_front_answers_for_the_server(front: tuple[str, Front]) -> None:
    assert request("GET", front[1].url).json()["software"] == "Provider"
