"""File URLs that want to lead the server somewhere it must not go: refused, and no packet sent there.

The server runs as an operator runs it (`ALLOW_NON_PUBLIC_IP` off), with a real resolver of ours behind the C library,
and one public address that is given to this machine's loopback, so that redirects and rebinding names are real.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from threading import Thread
from urllib.parse import quote, unquote

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.operator import OperatorService
from tests.support.packets import dials_to
from tests.support.resolver import Names, running_resolver, serve_command

# Globally routable as far as anybody's tables say; here it exists on the loopback interface only.
PUBLIC = "198.51.101.7"
BODY = b"public bytes\n"

# `{port}` is a port that listens on every address of this machine.
HOSTS = [
    # Loopback, in every spelling that the C library, a browser or a proxy understands.
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "017700000001", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "0x7f.0x0.0x0.0x1", "127.0.0.1.", "0", "0.0.0.0", "0x0", "localhost", "LOCALHOST", "localhost.",
    # Private, shared, link-local and metadata services.
    "10.0.0.1", "167772161", "172.16.0.1", "0xac100001", "192.168.0.1", "3232235521", "100.64.0.1", "169.254.169.254",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.170.2", "100.100.100.200", "168.63.129.16",
    "192.0.0.192",
    # Documentation, benchmarks, multicast, reserved, broadcast.
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    # IPv6, plain and as a wrapping of IPv4.
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[::ffff:a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::127.0.0.1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]",
    "[::1%25lo]",
    # Userinfo and other disguises of the host.
    "example.com@127.0.0.1", "127.0.0.1:80@127.0.0.1", "example.com%40127.0.0.1", "example.com\\@127.0.0.1",
    "example.com#@127.0.0.1", "127.0.0.1%2f.example.com", "[::1].example.com", "[127.0.0.1]",
    # IDNA: what becomes a digit, a dot or nothing.
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1",
    "loc\u00adalhost", "\u24c1\u24c4\u24b8\u24b6\u24c1\u24bd\u24c4\u24c8\u24c9",
    # Names: our resolver answers these.
    "loopback.test", "private6.test", "mixed.test", "mixed6.test", "unknown.test",
]  # fmt: skip
# Of these nothing may be asked at all; `{trap}` is host and port of a forbidden listener.
URLS = [
    "ftp://{trap}/x", "file:///etc/passwd", "gopher://{trap}/_x", "dict://{trap}/x", "data:text/plain,x",
    "unix:///run/docker.sock", "http:/{trap}/x", "http:{trap}/x", "//{trap}/x", "http://{trap}\t/x",
    "http://\n{trap}/x", "http:///{trap}/x", "http://", "http://:80/", "jar:http://{trap}!/x", "http:\\\\{trap}/x",
    "http://{trap}0000/x", "http://127.0.0.1:0/x", "http://{trap}\r\nHost: 10.0.0.1\r\n\r\n/x",
]  # fmt: skip
# A public origin that sends the server on to these.
REDIRECTS = [
    "http://127.0.0.1:{port}/x", "http://[::1]:{port}/x", "http://[::ffff:127.0.0.1]:{port}/x", "//127.0.0.1:{port}/x",
    "http://2130706433:{port}/x", "http://169.254.169.254/latest/meta-data/", "http://mixed.test:{port}/x",
    "http://loopback.test:{port}/x", "file:///etc/passwd", "ftp://127.0.0.1:{port}/x", "gopher://127.0.0.1:{port}/x",
    "http://" + PUBLIC + ":{port}/redirect?to=http%3A%2F%2F127.0.0.1%3A{port}%2Fx",
]  # fmt: skip
NAMES = {
    "loopback.test": [["127.0.0.1"]],
    "private6.test": [["fd00::1"]],
    "mixed.test": [[PUBLIC, "127.0.0.1"]],
    "mixed6.test": [[PUBLIC, "::1"]],
    "public.test": [[PUBLIC]],
}


@dataclass
class Trap:
    """A listener on every address; `reached` are the local addresses at which it was asked for something."""

    port: int
    reached: list[str]


class _TrapHandler(BaseHTTPRequestHandler):
    reached: list[str]

    def do_GET(self) -> None:
        """Note where this came in; on the public address be an ordinary origin, with redirects."""
        address = self.connection.getsockname()[0]
        self.reached.append(address)
        redirects = self.path.startswith(("/redirect?to=", "/redirect/to="))
        self.send_response(302 if redirects else 200)
        if redirects:
            self.send_header("Location", unquote(self.path[len("/redirect?to=") :]))
        self.send_header("Content-Length", str(len(BODY)))
        # No connection is kept: every request of the server has to find its way anew.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Silence."""


class _TrapServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no fault here."""


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    """The listener, with a public address on the loopback interface."""
    if subprocess.run(["ip", "addr", "add", f"{PUBLIC}/32", "dev", "lo"], capture_output=True, check=False).returncode:
        pytest.skip("no right to give the loopback interface an address")
    try:
        reached: list[str] = []
        handler = type("Handler", (_TrapHandler,), {"reached": reached})
        server: BaseServer = _TrapServer(("0.0.0.0", 0), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        yield Trap(server.server_address[1], reached)
        server.shutdown()
        server.server_close()
    finally:
        subprocess.run(["ip", "addr", "del", f"{PUBLIC}/32", "dev", "lo"], check=True)


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    """The resolver."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(running_resolver())
        except OSError:
            pytest.skip("no right to answer on port 53")
        running.records.update({name: list(answers) for name, answers in NAMES.items()})
        yield running


@pytest.fixture(scope="module")
def guarded(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    tmp_path_factory: pytest.TempPathFactory,
    names: Names,
    operator: OperatorService,
) -> DemoServer:
    """A server that guards its addresses, knows our resolver only, and asks for every document anew."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "ALLOW_NON_PUBLIC_IP": "false",
        "REQUEST_TIMEOUT": "3",
        "OPERATOR_SERVICE_URL": operator.url,
        "PROVIDER_CACHE_DDO_SECONDS": "0",
    }
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a mount namespace")
    server = launch_server(children, chain, folder, settings, name="guarded", command=serve_command(folder))
    server.wait_ready()
    return server


@pytest.fixture(scope="module")
def hostile(trap: Trap) -> list[str]:
    """Every hostile URL."""
    urls = [f"http://{host}:{trap.port}/x" for host in HOSTS]
    urls += [url.replace("{trap}", f"127.0.0.1:{trap.port}") for url in URLS]
    for target in REDIRECTS:
        urls.append(f"http://{PUBLIC}:{trap.port}/redirect?to=" + quote(target.format(port=trap.port), safe=""))
    return urls


@pytest.fixture(scope="module")
def sold(sell: Sell, hostile: list[str]) -> list[tuple[Published, str]]:
    """Assets with a file for each of them, as many as a list may hold, bought."""
    lists = [hostile[first : first + 100] for first in range(0, len(hostile), 100)]
    return [sell(*[url_file(url) for url in urls]) for urls in lists]


def test_there_are_enough_of_them(hostile: list[str]) -> None:
    assert len(set(hostile)) >= 60


def test_every_hostile_url_is_a_400_and_nothing_forbidden_is_dialled(
    guarded: DemoServer,
    chain: DemoChain,
    sold: list[tuple[Published, str]],
    hostile: list[str],
    trap: Trap,
) -> None:
    consumer = Consumer(chain.wallet(CONSUMER_KEY), guarded.url)
    trap.reached.clear()
    with dials_to(trap.port) as dialled:
        answers = {url: consumer.download(*sold[i // 100], file_index=i % 100) for i, url in enumerate(hostile)}
    assert {url: answer.status for url, answer in answers.items() if answer.status != 400} == {}
    leaked = [url for url, answer in answers.items() if b"127.0.0.1" in answer.error_body or b"/x" in answer.error_body]
    assert leaked == []
    assert set(trap.reached) == {PUBLIC}  # the redirects start there
    assert set(dialled.addresses) == {PUBLIC}


def test_fileinfo_calls_them_invalid_and_dials_nothing_forbidden(
    guarded: DemoServer, hostile: list[str], trap: Trap
) -> None:
    """Nobody has to sign for this endpoint, so it is the first door anybody tries."""
    trap.reached.clear()
    with dials_to(trap.port) as dialled:
        for url in hostile:
            body = json.dumps({"type": "url", "url": url, "method": "GET"}).encode()
            reply = request(
                "POST",
                f"{guarded.url}/api/services/fileinfo",
                body=body,
                headers={"Content-Type": "application/json"},
            )
            assert reply.status == 400 or [item["valid"] for item in reply.json()] == [False], url
    assert set(trap.reached) == {PUBLIC}
    assert set(dialled.addresses) == {PUBLIC}


def test_service_endpoint_of_another_provider_leads_to_nothing_forbidden(
    guarded: DemoServer,
    chain: DemoChain,
    operator: OperatorService,
    publisher: StoringPublisher,
    hostile: list[str],
    trap: Trap,
) -> None:
    """[K12]: whose files a server cannot open is asked at the endpoint that its publisher wrote; nobody has to sign."""
    client = ComputeClient(chain, guarded, operator, publisher, Consumer(chain.wallet(CONSUMER_KEY), guarded.url))
    main, theirs = client.dataset(f"http://{PUBLIC}/x"), client.dataset(f"http://{PUBLIC}/x", kind="access")
    service = client.document(theirs)["services"][0]
    service["files"] = "0x00"
    # One with a query is not asked at all, and the host of one that redirects only once.
    redirect = f"http://{PUBLIC}:{trap.port}/redirect/to=" + quote(f"http://127.0.0.1:{trap.port}/x", safe="")
    answers = {}
    trap.reached.clear()
    with dials_to(trap.port) as dialled:
        for url in [*hostile, redirect]:
            service["serviceEndpoint"] = url
            reply = client.quote([client.item(main), client.item(theirs)], {"meta": RAW}, environment=FREE)
            answers[url] = (reply.status, reply.json())
    refused = (400, {"error": {"datasets[1]": "other_provider_failed"}})
    assert {url: answer for url, answer in answers.items() if answer != refused} == {}
    assert trap.reached == [PUBLIC]
    assert set(dialled.addresses) == {PUBLIC}


def test_public_name_is_served_so_that_the_refusals_mean_something(
    guarded: DemoServer, chain: DemoChain, sell: Sell, trap: Trap, names: Names
) -> None:
    consumer = Consumer(chain.wallet(CONSUMER_KEY), guarded.url)
    with dials_to(trap.port) as dialled:
        done = consumer.download(*sell(url_file(f"http://public.test:{trap.port}/data.txt")))
    assert (done.status, done.size_bytes) == (200, len(BODY))
    assert dialled.addresses == [PUBLIC]
    assert names.lookups("public.test") == 1


def test_name_that_turns_private_between_two_requests_is_refused(
    guarded: DemoServer, chain: DemoChain, sell: Sell, trap: Trap, names: Names
) -> None:
    """DNS rebinding: public when it is looked at, private when it is fetched."""
    names.records["rebind.test"] = [[PUBLIC], ["127.0.0.1"]]
    consumer = Consumer(chain.wallet(CONSUMER_KEY), guarded.url)
    bought = sell(url_file(f"http://rebind.test:{trap.port}/data.txt"))
    trap.reached.clear()
    with dials_to(trap.port) as dialled:
        assert consumer.download(*bought).status == 200
        assert consumer.download(*bought).status == 400
    assert trap.reached == [PUBLIC]
    assert dialled.addresses == [PUBLIC]
    assert names.lookups("rebind.test") == 2


def test_name_is_looked_up_once_a_hop_and_that_answer_is_used(
    guarded: DemoServer, chain: DemoChain, sell: Sell, trap: Trap, names: Names
) -> None:
    """Were it asked once to check and once to connect, the second answer would be the private one."""
    names.records["flip.test"] = [[PUBLIC], ["127.0.0.1"]]
    consumer = Consumer(chain.wallet(CONSUMER_KEY), guarded.url)
    with dials_to(trap.port) as dialled:
        assert consumer.download(*sell(url_file(f"http://flip.test:{trap.port}/data.txt"))).status == 200
    assert dialled.addresses == [PUBLIC]
    assert names.lookups("flip.test") == 1
