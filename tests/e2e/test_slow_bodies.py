"""Bodies that come a byte at a time: cut at their limit, nothing of them kept, and nobody else kept out by them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.http_client import Reply, request
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.origin import wait_until
from tests.support.raw_http import connected, is_closed, read_reply, read_to_end

# Long enough to ask what has to be asked meanwhile, on a busy machine too.
LIMIT_SECONDS = 4.0
BODIES_BYTES = 96 << 10
INSPECTIONS = 8
COMMAND = b'{"command": "status"}'
DOWNLOAD = (
    f"/api/services/download?documentId=did:op:{'ab' * 32}&serviceId=1&transferTxId=0x{'ab' * 32}&fileIndex=0"
    f"&consumerAddress=0xe2DD09d719Da89e5a3D0F2549c7E24566e947260&nonce=1&signature=0x{'ab' * 64}1b"
)


@pytest.fixture(scope="module")
def patient(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> DemoServer:
    """A server whose patience is short."""
    settings = {
        "PROVIDER_BODY_TIMEOUT_SECONDS": str(LIMIT_SECONDS),
        "PROVIDER_MAX_BODIES_BYTES": str(BODIES_BYTES),
        "PROVIDER_MAX_INSPECTIONS": str(INSPECTIONS),
        "PROVIDER_MAX_STREAMS": "1",
    }
    server = launch_server(children, chain, Path(tmp_path_factory.mktemp("patient")), settings, name="patient")
    server.wait_ready()
    return server


@contextmanager
def dribbling(sock: socket.socket, piece: bytes) -> Iterator[None]:
    """Send `piece` again and again, until the server has had enough."""
    over = threading.Event()

    def dribble() -> None:
        while not over.wait(0.02):
            try:
                sock.sendall(piece)
            except OSError:
                return

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def status(server: DemoServer, size_bytes: int) -> Reply:
    """A harmless request with a body of this size."""
    body = COMMAND.ljust(size_bytes)
    return request("POST", f"{server.url}/directCommand", body=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_dribbled_body_is_cut_at_its_limit_and_its_bytes_given_back(patient: DemoServer, framing: str) -> None:
    held = b" " * (BODIES_BYTES - 8000)
    begin, piece = (
        (b"Content-Length: 120000\r\n\r\n" + held, b" ")
        if framing == "length"
        else (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(held), held), b"1\r\n \r\n")
    )
    with connected(patient.url) as slow:
        began = time.monotonic()
        slow.sendall(b"POST /directCommand HTTP/1.1\r\nHost: x\r\n" + begin)
        with dribbling(slow, piece):
            # It is in memory, so that there is no room for a large one beside it, but for a small one.
            wait_until(lambda: status(patient, BODIES_BYTES // 2).status == 503)
            assert status(patient, 100).status == 200
            assert request("GET", patient.url).status == 200
            # Bytes that cross the refusal have the connection reset, which may take the refusal with it.
            assert read_to_end(slow)[:12] in (b"", b"HTTP/1.1 408")
            assert time.monotonic() - began >= LIMIT_SECONDS
    # The text and what it becomes are counted.
    assert status(patient, BODIES_BYTES // 2 - 1000).status == 200
    assert status(patient, BODIES_BYTES // 2).status == 503
    wait_until(lambda: scrape(patient.admin_url).total("provider_requests_in_progress") == 0)


def test_bodies_that_are_still_coming_hold_no_inspection_and_no_stream(patient: DemoServer) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(patient.url)) for _ in range(2 * INSPECTIONS)]
        for number, sock in enumerate(slow):
            target = "POST /api/services/fileinfo" if number % 2 else f"GET {DOWNLOAD}"
            sock.sendall(f"{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n ".encode())
        wait_until(lambda: scrape(patient.admin_url).total("provider_requests_in_progress") >= len(slow))
        asked = request("POST", f"{patient.url}/api/services/fileinfo", body=b"{}")
        assert asked.status == 400, asked
        assert request("GET", patient.url + DOWNLOAD).status == 400
        for sock in slow:
            reply = read_reply(sock)
            assert (reply.status, reply.json()) == (408, {"error": "The request body took too long to arrive."})
            assert is_closed(sock)
    assert scrape(patient.admin_url).total("provider_errors_total", code="body_too_slow") >= len(slow)
