"""Behind a firewall: nodes and the metadata store are reached through a real proxy, files never are."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.certificates import Authority
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin
from tests.support.resolver import Names, running_resolver
from tests.support.squid import PASSWORD, Squid, is_installed, running_squid

NODE, STORE, ORIGIN = "node.inside.test", "store.inside.test", "origin.outside.test"

pytestmark = pytest.mark.skipif(not is_installed(), reason="squid is not installed")


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    """Knows where files are; what is inside is known to the proxy alone."""
    with running_resolver("127.0.0.1", 0) as running:
        running.records = {ORIGIN: [["127.0.0.1"]]}
        yield running


@pytest.fixture(scope="module")
def squid() -> Iterator[Squid]:
    with running_squid({NODE: "127.0.0.1", STORE: "127.0.0.1"}) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("proxied"))


@pytest.fixture(scope="module")
def secure_store(metadata_store: MetadataStore, authority: Authority) -> Iterator[str]:
    """The metadata store behind TLS."""
    files = authority.issue("store", STORE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    backend = urlsplit(metadata_store.url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_forward, args=(listener, context, (backend.hostname, backend.port)), daemon=True).start()
        yield f"https://{STORE}:{listener.getsockname()[1]}"


def _forward(listener: socket.socket, context: ssl.SSLContext, backend: tuple[str, int]) -> None:
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        Thread(target=_serve, args=(accepted, context, backend), daemon=True).start()


def _serve(accepted: socket.socket, context: ssl.SSLContext, backend: tuple[str, int]) -> None:
    """One request and its answer, which ends with the connection."""
    with context.wrap_socket(accepted, server_side=True) as front, socket.create_connection(backend) as back:
        head = front.recv(65536)
        back.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        while data := back.recv(65536):
            front.sendall(data)


@pytest.fixture(scope="module")
def proxied(
    children: Children,
    chain: DemoChain,
    tmp_path_factory: pytest.TempPathFactory,
    squid: Squid,
    secure_store: str,
    authority: Authority,
    names: Names,
) -> DemoServer:
    folder: Path = tmp_path_factory.mktemp("proxied-server")
    settings = {
        "NETWORK_URL": f"http://{NODE}:{urlsplit(chain.url).port}",
        "AQUARIUS_URL": secure_store,
        "HTTP_PROXY": squid.url,
        "https_proxy": squid.url,
        "NO_PROXY": "elsewhere.test",
        "SSL_CERT_FILE": str(authority.ca_path),
        "PROVIDER_DNS_SERVERS": names.server,
    }
    started = launch_server(children, chain, folder, settings, name="proxied")
    started.wait_ready()
    return started


def test_nodes_and_stores_are_reached_through_the_proxy_and_files_directly(
    proxied: DemoServer, chain: DemoChain, sell: Sell, origin: Origin, squid: Squid, secure_store: str
) -> None:
    port = urlsplit(origin.url).port
    bought = sell(url_file(f"http://{ORIGIN}:{port}/data.csv"))
    answer = Consumer(chain.wallet(CONSUMER_KEY), proxied.url).download(*bought)
    assert answer.status == 200
    lines = squid.lines()
    store = urlsplit(secure_store).netloc
    assert {line[3] for line in lines if line[2] == "200"} == {"provider"}
    assert any(line[0] == "POST" and line[1].startswith(f"http://{NODE}:") for line in lines)
    assert ["CONNECT", store, "200", "provider"] in lines
    assert not any(ORIGIN in " ".join(line) for line in lines)


def test_the_password_of_the_proxy_is_in_no_log_and_no_answer(proxied: DemoServer) -> None:
    assert PASSWORD not in proxied.child.stderr_tail(1 << 20)
    for url in (proxied.url, f"{proxied.admin_url}/readyz", f"{proxied.admin_url}/metrics"):
        assert PASSWORD not in request("GET", url).body.decode()


def test_check_goes_the_same_way(proxied: DemoServer, squid: Squid, secure_store: str) -> None:
    process = Path(f"/proc/{proxied.child.pid}/environ").read_bytes()
    environ = dict(entry.split("=", 1) for entry in process.decode().split("\0") if entry)
    before = len(squid.lines())
    command = [sys.executable, "-m", "provider", "check"]
    found = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    said = found.stdout + found.stderr
    assert f"metadata store ({urlsplit(secure_store).netloc})" in said
    assert "rejects a made-up DID" in said
    assert PASSWORD not in said
    targets = [line[1] for line in squid.lines()[before:] if line[2] == "200"]
    assert urlsplit(secure_store).netloc in targets
    assert any(target.startswith(f"http://{NODE}:") for target in targets)
