"""HTTPS on both sides: consumers' connections and an origin's, certificates that are renewed, and what goes wrong."""

import http.client
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.crypto.certificate import TlsFiles
from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell, launching
from tests.e2e.test_command_line import run
from tests.support.certificates import Authority
from tests.support.logs import tracebacks
from tests.support.measured import MeasuredChildren
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, pattern, pattern_sha256, running_origin, wait_until
from tests.support.raw_http import connected, is_closed, read_to_end

SIZE = 30_000_001
ENDLESS = 1 << 34
DAY_SECONDS = 86_400
FILES = (f"/bytes/{SIZE}", "/chunked/40", "/dies", "/dies_chunked", f"/bytes/{ENDLESS}")
WHOLE, CHUNKED, DIES, DIES_CHUNKED, LARGE = range(len(FILES))


@dataclass
class Secure:
    """A server over HTTPS and what it shows; `url` is where consumers go."""

    server: DemoServer
    url: str
    files: TlsFiles
    authority: Authority

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    def connect(self, session: ssl.SSLSession | None = None, *, receive_bytes: int = 0) -> ssl.SSLSocket:
        """A client that takes an end without close_notify for what it is: an error."""
        plain = socket.socket()
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(15)
        plain.connect(("127.0.0.1", self.port))
        return self.authority.client_context().wrap_socket(
            plain, server_hostname="127.0.0.1", session=session, suppress_ragged_eofs=False
        )

    def serial(self) -> str:
        """Serial number of the certificate that a new connection is shown."""
        with self.connect() as sock:
            shown = sock.getpeercert()
            assert shown
            return str(shown["serialNumber"])

    def shown_expiry(self) -> float:
        """Until when the certificate is valid that a new connection is shown."""
        with self.connect() as sock:
            shown = sock.getpeercert()
            assert shown
            return ssl.cert_time_to_seconds(str(shown["notAfter"]))

    def told_expiry(self) -> float:
        """The same expiry, as the metric shows it to operators."""
        return scrape(self.server.admin_url).total("provider_tls_certificate_expiry_timestamp_seconds")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trusting_children(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredChildren]:
    """The servers of this file trust the authority too."""
    folder = str(tmp_path_factory.mktemp("trusting"))
    with MeasuredChildren(folder, {"SSL_CERT_FILE": str(authority.ca_path)}) as started:
        yield started


@pytest.fixture
def launch(
    trusting_children: MeasuredChildren, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[LaunchServer]:
    with launching(trusting_children, chain, metadata_store, server_folder) as start:
        yield start


@pytest.fixture(autouse=True)
def trusting(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumers of this process trust the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_path))


@pytest.fixture(scope="module")
def tls_origin(authority: Authority) -> Iterator[Origin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = authority.issue("origin")
    context.load_cert_chain(files.certificate, files.key)
    with running_origin(context) as running:
        yield running


def launch_secure(launch: LaunchServer, authority: Authority, stem: str, **settings: str) -> Secure:
    files = authority.issue(stem)
    url = f"https://127.0.0.1:{free_ports(1)[0]}"
    server = launch(
        OCEAN_PROVIDER_URL=url,
        PROVIDER_TLS_CERT_FILE=files.certificate,
        PROVIDER_TLS_KEY_FILE=files.key,
        **settings,
    )
    return Secure(server, url, files, authority)


@pytest.fixture(scope="module")
def secure(
    trusting_children: MeasuredChildren,
    chain: DemoChain,
    metadata_store: MetadataStore,
    server_folder: Path,
    authority: Authority,
) -> Iterator[Secure]:
    """The server of all tests that only ask it."""
    with launching(trusting_children, chain, metadata_store, server_folder) as launch:
        yield launch_secure(launch, authority, "server")


@pytest.fixture
def own(launch: LaunchServer, authority: Authority) -> Secure:
    """A server of this test, which may change its certificate or end it."""
    return launch_secure(launch, authority, "own")


@pytest.fixture(scope="module")
def sold(sell: Sell, tls_origin: Origin) -> tuple[Published, str]:
    return sell(*(url_file(tls_origin.url + path) for path in FILES))


@pytest.fixture
def buyer(secure: Secure, chain: DemoChain) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), secure.url)


def send_get(sock: socket.socket, url: str, *headers: str) -> None:
    lines = "".join(f"{line}\r\n" for line in ("Host: test", *headers))
    sock.sendall(f"GET {url[url.index('/api') :]} HTTP/1.1\r\n{lines}\r\n".encode())


def test_files_of_an_https_origin_arrive_whole_over_https(
    secure: Secure, buyer: Consumer, sold: tuple[Published, str]
) -> None:
    got = buyer.download(*sold, file_index=WHOLE)
    assert (got.status, got.complete, got.size_bytes, got.sha256) == (200, True, SIZE, pattern_sha256(SIZE))
    got = buyer.download(*sold, file_index=CHUNKED)
    assert (got.status, got.complete, got.size_bytes) == (200, True, 40 * 65536)


def test_a_plain_origin_is_served_over_https(secure: Secure, buyer: Consumer, sell: Sell, origin: Origin) -> None:
    got = buyer.download(*sell(url_file(f"{origin.url}/bytes/{SIZE}")))
    assert (got.status, got.complete, got.sha256) == (200, True, pattern_sha256(SIZE))


def test_ranges_pass(secure: Secure, buyer: Consumer, sold: tuple[Published, str]) -> None:
    url = buyer.download_url(*sold, file_index=WHOLE)
    reply = request("GET", url, headers={"Range": "bytes=100001-1300000"})
    assert (reply.status, reply.headers["content-range"]) == (206, f"bytes 100001-1300000/{SIZE}")
    assert reply.body == pattern(1_300_001)[100_001:]


def test_one_connection_serves_several_downloads(secure: Secure, buyer: Consumer, sold: tuple[Published, str]) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", secure.port, context=secure.authority.client_context())
    connection.connect()
    local = connection.sock.getsockname()
    for file_index, size in ((CHUNKED, 40 * 65536), (WHOLE, SIZE), (CHUNKED, 40 * 65536)):
        url = urlsplit(buyer.download_url(*sold, file_index=file_index))
        connection.request("GET", f"{url.path}?{url.query}")
        assert len(connection.getresponse().read()) == size
        assert connection.sock is not None
        assert connection.sock.getsockname() == local
    connection.close()


@pytest.mark.parametrize("file_index", [DIES, DIES_CHUNKED], ids=["length", "chunked"])
def test_a_truncated_origin_is_an_error_inside_tls(
    secure: Secure, buyer: Consumer, sold: tuple[Published, str], file_index: int
) -> None:
    raw = b""
    with secure.connect() as sock:
        send_get(sock, buyer.download_url(*sold, file_index=file_index), "Connection: close")
        try:
            while piece := sock.recv(65536):
                raw += piece
        except ssl.SSLError as error:
            # Some readers take a missing close_notify for an end.
            assert error.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"  # noqa: PT017
        else:
            pytest.fail("TLS was closed in order, as after a whole body")
    assert raw.startswith(b"HTTP/1.1 200")
    assert not raw.endswith(b"0\r\n\r\n")


def test_the_origin_is_closed_when_the_consumer_leaves(
    secure: Secure, buyer: Consumer, sold: tuple[Published, str], tls_origin: Origin
) -> None:
    with secure.connect() as sock:
        send_get(sock, buyer.download_url(*sold, file_index=LARGE))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
        wait_until(lambda: tls_origin.active == 1)
    wait_until(lambda: tls_origin.active == 0, seconds=20)


def test_a_consumer_that_reads_nothing_holds_its_origin_up(
    secure: Secure, buyer: Consumer, sold: tuple[Published, str], tls_origin: Origin
) -> None:
    before = tls_origin.sent_bytes
    with secure.connect(receive_bytes=65536) as sock:
        send_get(sock, buyer.download_url(*sold, file_index=LARGE))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
        seen, since = tls_origin.sent_bytes, time.monotonic()
        while time.monotonic() - since < 0.5:
            if tls_origin.sent_bytes != seen:
                seen, since = tls_origin.sent_bytes, time.monotonic()
            time.sleep(0.02)  # polls for half a second without progress
            assert seen - before < 32 << 20
    wait_until(lambda: tls_origin.active == 0)


def test_a_session_is_resumed(secure: Secure) -> None:
    with secure.connect() as first:
        first.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
        session = first.session
        context = first.context
    plain = socket.create_connection(("127.0.0.1", secure.port), timeout=60)
    with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as again:
        assert again.session_reused


# Renewal


def test_a_renewed_certificate_is_taken_and_no_connection_dropped(own: Secure) -> None:
    before = own.serial()
    assert own.told_expiry() == own.shown_expiry()
    with own.connect() as kept:
        own.authority.issue("own", days=60)
        wait_until(lambda: own.serial() != before)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    assert own.server.child.stderr_tail(1 << 20).count('"certificate loaded"') == 1
    assert own.told_expiry() == own.shown_expiry() > time.time() + 59 * DAY_SECONDS


def test_hangup_gives_every_worker_the_new_certificate(launch: LaunchServer, authority: Authority) -> None:
    secure = launch_secure(launch, authority, "several", PROVIDER_WORKERS="2")
    server = secure.server
    wait_until(lambda: server.child.stderr_tail(1 << 20).count('"listening"') == 2)
    before = secure.serial()
    authority.issue("several", days=60)
    os.kill(server.child.pid, signal.SIGHUP)
    wait_until(lambda: server.child.stderr_tail(1 << 20).count('"draining"') == 2)
    assert before not in {secure.serial() for _ in range(20)}
    # Of all workers the one that ends first, once those with the old one have gone.
    wait_until(lambda: secure.told_expiry() == secure.shown_expiry() > time.time() + 59 * DAY_SECONDS)
    assert "worker ended" not in server.child.stderr_tail(1 << 20)


def test_a_wrong_renewal_keeps_the_old_certificate(own: Secure) -> None:
    before = own.serial()
    Path(own.files.key).write_text("not a key")
    os.kill(own.server.child.pid, signal.SIGHUP)
    wait_until(lambda: "the certificate in use is kept" in own.server.child.stderr_tail(1 << 20))
    assert own.serial() == before
    assert "not a key" not in own.server.child.stderr_tail(1 << 20)


# What goes wrong


def test_plain_http_on_the_tls_port_is_closed_at_once(secure: Secure) -> None:
    with connected(secure.url) as silent, connected(secure.url) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert not read_to_end(sock).startswith(b"HTTP/1.1 200")
        # It was not the limit of a handshake that closed it: that of the silent connection began earlier.
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.recv(1)
    assert secure.serial()
    assert tracebacks(secure.server.child.stderr_tail(1 << 20)) == []


def test_handshakes_that_never_end_do_not_hold_up_others_nor_the_end(own: Secure) -> None:
    with connected(own.url) as silent, connected(own.url) as half:
        half.sendall(b"\x16\x03\x01")
        assert own.serial()
        own.server.child.ask_to_stop()
        assert own.server.child._process.wait(60) == 0
        assert is_closed(silent)
        assert is_closed(half)


def test_an_http_listener_url_means_https_too_once_there_is_a_certificate(
    launch: LaunchServer, authority: Authority
) -> None:
    secure = launch_secure(launch, authority, "scheme")
    secure.server.child.stop()
    launch(
        OCEAN_PROVIDER_URL=secure.url.replace("https:", "http:"),
        PROVIDER_TLS_CERT_FILE=secure.files.certificate,
        PROVIDER_TLS_KEY_FILE=secure.files.key,
    )
    assert request("GET", secure.url).status == 200


WRONG = {
    "wrong pair": ({"PROVIDER_TLS_CERT_FILE": "one.pem", "PROVIDER_TLS_KEY_FILE": "two.key"}, "PROVIDER_TLS_KEY_FILE"),
    "no key": ({"PROVIDER_TLS_CERT_FILE": "one.pem"}, "PROVIDER_TLS_KEY_FILE"),
    "no certificate": ({"PROVIDER_TLS_KEY_FILE": "one.key"}, "PROVIDER_TLS_CERT_FILE"),
    "no such file": (
        {"PROVIDER_TLS_CERT_FILE": "gone.pem", "PROVIDER_TLS_KEY_FILE": "one.key"},
        "PROVIDER_TLS_CERT_FILE",
    ),
    "https without a certificate": ({"OCEAN_PROVIDER_URL": "https://0.0.0.0:8030"}, "OCEAN_PROVIDER_URL"),
    "https for operators": (
        {
            "PROVIDER_ADMIN_URL": "https://127.0.0.1:8031",
            "PROVIDER_TLS_CERT_FILE": "one.pem",
            "PROVIDER_TLS_KEY_FILE": "one.key",
        },
        "PROVIDER_ADMIN_URL",
    ),
}


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(("settings", "variable"), WRONG.values(), ids=WRONG)
def test_wrong_settings_end_with_2_and_name_the_variable(
    tmp_path: Path, command: str, settings: dict[str, str], variable: str
) -> None:
    authority = Authority(tmp_path)
    authority.issue("one")
    authority.issue("two")
    paths = {name: str(tmp_path / value) if name.endswith("_FILE") else value for name, value in settings.items()}
    environ = {"NETWORK_URL": "http://127.0.0.1:1", "PROVIDER_PRIVATE_KEY": CONSUMER_KEY, **paths}
    done = run(command, environ=environ, folder=tmp_path)
    assert done.returncode == 2
    faults = [line for line in map(str.strip, done.stderr.splitlines()) if line.startswith("- ")]
    assert len(faults) == 1
    assert faults[0].startswith(f"- {variable} ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("days", "since", "state", "text"),
    [
        (30.0, 1.0, "ok", ""),
        (13.5, 1.0, "warn", "days left"),
        (-0.1, 1.0, "FAIL", "expired"),
        (9.0, -1.0, "FAIL", "yet"),
    ],
    ids=["a month", "two weeks", "over", "to come"],
)
def test_check_tells_about_the_certificate(tmp_path: Path, days: float, since: float, state: str, text: str) -> None:
    files = Authority(tmp_path).issue("told", "data.example", days=days, since=since)
    environ = {
        "NETWORK_URL": "http://127.0.0.1:1",
        "PROVIDER_PRIVATE_KEY": CONSUMER_KEY,
        "PROVIDER_TLS_CERT_FILE": files.certificate,
        "PROVIDER_TLS_KEY_FILE": files.key,
        "AQUARIUS_URL": "http://127.0.0.1:1",
        "IPFS_GATEWAY": "http://127.0.0.1:1",
        "ARWEAVE_GATEWAY": "http://127.0.0.1:1",
    }
    done = run("check", environ=environ, folder=tmp_path)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("certificate ")]
    assert line.split()[1] == state
    assert "data.example" in line
    assert text in line
