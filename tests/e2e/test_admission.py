"""Attacks on what is scarce: requests of a client, connections, memory of bodies, streams. Everybody else is served.

Every test comes from loopback addresses of its own, so that each is a client that nobody else is.
"""

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.test_streams import open_download
from tests.support.origin import Origin, wait_until
from tests.support.raw_http import is_closed, read_reply, read_to_end

PROXY = "127.0.0.9"
GUARDED_BURST, PAID_BURST = 6, 12
CONNECTIONS, STREAMS = 12, 2
BODIES_BYTES = 1 << 20
SMALL, LARGE = 0, 1
FORGED = "/api/services/download?documentId=did:op:{did}&serviceId=1&transferTxId=0x{did}&fileIndex=0" + (
    "&consumerAddress=0xe2DD09d719Da89e5a3D0F2549c7E24566e947260&nonce=1&signature=0x{signature}"
)


@pytest.fixture(scope="module")
def guarded(
    children: Children, chain: DemoChain, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DemoServer, Consumer, Published, str]:
    """A server with tight limits, and a consumer with an order, who comes from 127.0.0.1."""
    limits = {
        "TRUSTED_PROXIES": f"{PROXY}/32",
        "PROVIDER_LIMIT_PRIVATE_CLIENTS": "true",
        "PROVIDER_GUARDED_REQUESTS_PER_SECOND": "1",
        "PROVIDER_GUARDED_BURST": str(GUARDED_BURST),
        "PROVIDER_PAID_REQUESTS_PER_SECOND": "1",
        "PROVIDER_PAID_BURST": str(PAID_BURST),
        "PROVIDER_MAX_CONNECTIONS_PER_CLIENT": str(CONNECTIONS),
        "PROVIDER_MAX_STREAMS": str(STREAMS),
        "PROVIDER_MAX_BODIES_BYTES": str(BODIES_BYTES),
        "PROVIDER_HEAD_TIMEOUT_SECONDS": "0.5",
    }
    server = launch_server(children, chain, Path(tmp_path_factory.mktemp("admission")), limits, name="admission")
    server.wait_ready()
    publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    asset = publisher.publish([url_file(f"{origin.url}{path}") for path in ("/data.csv", f"/bytes/{64 << 20}")])
    consumer = Consumer(chain.wallet(SPARE_KEYS[8]), server.url)
    publisher.mint(asset.datatokens[0], consumer.address)
    return server, consumer, asset, consumer.order(asset)


class Client:
    """Kept connections of one address."""

    def __init__(self, server: DemoServer, address: str) -> None:
        parts = urlsplit(server.url)
        self._target = (str(parts.hostname), parts.port or 80)
        self._address = address
        self._sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        return socket.create_connection(self._target, timeout=60, source_address=(self._address, 0))

    def ask(self, method: str, target: str, *headers: str, body: bytes | None = b"") -> Reply:
        """One request on the kept connection; without `body` its head only, which announces one."""
        if self._sock is None:
            self._sock = self.connect()
        lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers]
        if body is None or body:
            lines.append(f"Content-Length: {100 if body is None else len(body)}")
        self._sock.sendall("\r\n".join([*lines, "\r\n"]).encode() + (body or b""))
        reply = read_reply(self._sock, method)
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


Clients = Callable[[str], Client]


@pytest.fixture
def clients(guarded: tuple[DemoServer, Consumer, Published, str]) -> Iterator[Clients]:
    """Makes clients, by their address, whose connections end with the test."""
    with ExitStack() as stack:

        def make(address: str) -> Client:
            client = Client(guarded[0], address)
            stack.callback(client.close)
            return client

        yield make


def forged(number: int) -> str:
    return FORGED.format(did=f"{number:064x}", signature="ab" * 64 + "1b")


def is_refusal(reply: Reply, status: int) -> bool:
    """Is it a refusal as documented, whatever the request?"""
    assert reply.status == status, reply
    assert json.loads(reply.body).keys() == {"error"}
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["x-request-id"]
    assert reply.headers["access-control-allow-origin"]
    return True


def until_refused(client: Client, headers: Callable[[int], Sequence[str]], *, at_most: int = PAID_BURST * 4) -> Reply:
    """The first 429 to forged downloads, which come faster than the rate; `headers` of each by its number."""
    replies = (client.ask("GET", forged(number), *headers(number)) for number in range(at_most))
    return next(reply for reply in replies if reply.status == 429)


def test_a_stranger_gains_nothing_by_naming_others(clients: Clients) -> None:
    stranger = clients("127.0.0.20")
    refused = until_refused(
        stranger, lambda number: (f"X-Forwarded-For: 9.9.9.{number}", f"Forwarded: for=9.9.9.{number}")
    )
    assert is_refusal(refused, 429)
    # Whoever has asked nothing yet would be refused later. On a busy machine, one request may have come back by now.
    other = ("X-Real-IP: 9.9.8.8", "Origin: https://market.example")
    assert is_refusal(until_refused(stranger, lambda _: other, at_most=PAID_BURST // 2), 429)


def test_behind_a_trusted_proxy_clients_are_told_apart(clients: Clients) -> None:
    proxy = clients(PROXY)
    assert is_refusal(until_refused(proxy, lambda _: ("X-Forwarded-For: 1.1.1.1, 8.8.8.8",)), 429)
    # On the same connection, and also when the noisy one is named further left.
    assert proxy.ask("GET", forged(0), "X-Forwarded-For: 8.8.8.8, 8.8.4.4").status != 429
    assert is_refusal(until_refused(proxy, lambda _: ("X-Forwarded-For: 7.7.7.7, 8.8.8.8",), at_most=3), 429)


def test_a_whole_64_is_one_client(clients: Clients) -> None:
    proxy = clients(PROXY)
    refused = until_refused(proxy, lambda number: (f"X-Forwarded-For: 2a00:1450:4001:80b::{number + 1:x}",))
    assert is_refusal(refused, 429)
    assert proxy.ask("GET", forged(0), "X-Forwarded-For: 2a00:1450:4001:80c::1").status != 429


def test_a_flood_of_forged_downloads_does_not_starve_who_signed(
    guarded: tuple[DemoServer, Consumer, Published, str], clients: Clients
) -> None:
    _, consumer, asset, order = guarded
    flood = [clients("127.0.0.21") for _ in range(8)]
    got: list[int] = []
    for _ in range(3):
        for attacker in flood:
            got += [attacker.ask("GET", forged(number)).status for number in range(20)]
        assert consumer.download(asset, order, file_index=SMALL).complete
    assert got.count(429) > len(got) / 2
    # The flood over, its address is served again.
    wait_until(lambda: flood[0].ask("GET", forged(1)).status != 429)


def test_guarded_routes_are_refused_before_their_body_is_read(clients: Clients, origin: Origin) -> None:
    client = clients("127.0.0.22")
    headers = ("Content-Type: application/json",)
    for _ in range(GUARDED_BURST - 1):
        assert client.ask("POST", "/api/services/fileinfo", *headers, body=b'{"did": 1}').status == 400
    # Its redirects are owed: for seconds, in which no request comes back.
    loop = json.dumps(url_file(f"{origin.url}/loop")).encode()
    assert client.ask("POST", "/api/services/fileinfo", *headers, body=loop).status == 200
    for target in ("fileinfo", "encrypt?chainId=8996", "decrypt", "initializeCompute", "auth/token"):
        refused = clients("127.0.0.22")
        assert is_refusal(refused.ask("POST", f"/api/services/{target}", *headers, body=None), 429)
    # A short body is dropped, and the connection goes on with what costs nothing.
    assert is_refusal(client.ask("POST", "/api/services/fileinfo", *headers, body=b'{"did": 1}'), 429)
    assert client.ask("GET", "/").status == 200
    assert client.ask("OPTIONS", "/api/services/download").status == 200
    assert client.ask("HEAD", "/api/services/download").status == 405
    nonce = "/api/services/nonce?userAddress=0xe2DD09d719Da89e5a3D0F2549c7E24566e947260"
    assert client.ask("GET", nonce).status == 200


def test_one_address_cannot_take_all_connections(clients: Clients) -> None:
    greedy, other = clients("127.0.0.23"), clients("127.0.0.24")
    held = [greedy.connect() for _ in range(CONNECTIONS * 3)]
    try:
        assert other.ask("GET", "/").status == 200
        told = [read_to_end(sock) for sock in held[CONNECTIONS:]]
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in answer for answer in told)
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: _answers(greedy))


def _answers(client: Client) -> bool:
    client.close()
    try:
        return client.ask("GET", "/").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_heads_that_never_end_are_cut_and_nobody_waits_for_them(clients: Clients) -> None:
    attacker, other = clients("127.0.0.25"), clients("127.0.0.26")
    slow = [attacker.connect() for _ in range(CONNECTIONS)]
    try:
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert other.ask("GET", "/").status == 200
        assert all(is_closed(sock) for sock in slow)
    finally:
        for sock in slow:
            sock.close()


def test_bodies_that_never_end_do_not_fill_the_memory(
    guarded: tuple[DemoServer, Consumer, Published, str], clients: Clients
) -> None:
    attacker, other = clients("127.0.0.27"), clients("127.0.0.28")
    process = psutil.Process(guarded[0].child.pid)
    before = process.memory_info().rss
    head = b"POST /api/services/decrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    slow = [attacker.connect() for _ in range(4)]
    try:
        for sock in slow:
            sock.sendall(head + b"x" * (BODIES_BYTES // 2))
        # One of them is held, the others were refused while they sent.
        replies = [sock for sock in slow if _has_answer(sock)]
        assert replies
        assert is_refusal(read_reply(replies[0], "POST"), 503)
        assert other.ask("GET", "/").status == 200
        assert process.memory_info().rss - before < 16 * BODIES_BYTES
    finally:
        for sock in slow:
            sock.close()
    body = b"x" * 60_000
    wait_until(lambda: other.ask("POST", "/api/services/decrypt", body=body).status not in (429, 503))


def _has_answer(sock: socket.socket) -> bool:
    sock.settimeout(1.0)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_a_full_server_refuses_before_a_nonce_is_spent(
    guarded: tuple[DemoServer, Consumer, Published, str],
) -> None:
    _, consumer, asset, order = guarded
    running = []
    for _ in range(STREAMS):
        connection = open_download(consumer.download_url(asset, order, file_index=LARGE))
        # The nonce is spent once the answer begins; only then is the next one known.
        assert connection.recv(12) == b"HTTP/1.1 200"
        running.append(connection)
    url = consumer.download_url(asset, order, file_index=SMALL)
    assert is_refusal(request("GET", url), 503)
    for connection in running:
        connection.close()
    wait_until(lambda: request("GET", url).status == 200)
