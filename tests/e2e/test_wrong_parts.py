"""Origins that answer with another part than the one that was asked for: refused before the head, or cut."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_conditionals import fetch
from tests.support.downloads import refused

NOT_AVAILABLE = "Provider Ganache: Asset URL not found, not available or invalid."
BODY = bytes(range(256)) * 4
PART = "HTTP/1.1 206 Partial Content\r\n"


def part(stated: str, body: bytes, *more: str) -> bytes:
    lines = [f"Content-Range: {line}" for line in stated.split("; ") if line] + [f"Content-Length: {len(body)}", *more]
    return (PART + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode() + body


def chunked(stated: str, *chunks: bytes) -> bytes:
    head = f"{PART}Content-Range: {stated}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


UNASKED = {
    "a tenth": part("bytes 0-99/1024", BODY[:100]),
    "no range told": part("", BODY),
    "of unknown length": part("bytes 0-1023/*", BODY),
    "parts": part("", BODY, "Content-Type: multipart/byteranges; boundary=x"),
}
WRONG = {
    "no Content-Range": part("", BODY[:10]),
    "two that differ": part("bytes 0-9/1024; bytes 90-99/1024", BODY[:10]),
    "another length": part("bytes 0-99/1024", BODY[:10]),
    "another range": part("bytes 90-99/1024", BODY[90:100]),
    "less": part("bytes 0-8/1024", BODY[:9]),
    "more": part("bytes 0-10/1024", BODY[:11]),
}


class _Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: dict[str, bytes]
    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.wfile.write(self.answers[self.path.strip("/").split("/")[0]])
        self.close_connection = True


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Answers by the first segment of the path; the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    _Origin.answers = {}
    _Origin.asked = []
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", list(UNASKED))
def test_a_part_that_nobody_asked_for_is_no_file(consumer: Consumer, sell: Sell, origin: str, name: str) -> None:
    _Origin.answers = {"x": UNASKED[name]}
    url = f"{origin}/x/data.bin"
    sold = sell(url_file(url))
    assert refused(consumer.download(*sold), NOT_AVAILABLE)
    body = json.dumps({"type": "url", "url": url}).encode()
    described = request(
        "POST",
        f"{consumer.provider_url}/api/services/fileinfo",
        body=body,
        headers={"Content-Type": "application/json"},
    )
    assert described.json()[0]["valid"] is False


@pytest.mark.parametrize(
    "answer", [part("bytes 0-1023/1024", BODY), chunked("bytes 0-1023/1024", BODY[:500], BODY[500:])]
)
def test_a_part_that_is_everything_is_the_whole(consumer: Consumer, sell: Sell, origin: str, answer: bytes) -> None:
    _Origin.answers = {"x": answer}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {})
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, BODY, "1024")
    assert "content-range" not in reply.headers


@pytest.mark.parametrize("name", list(WRONG))
def test_another_part_than_asked_for_is_refused_before_the_head(
    consumer: Consumer, sell: Sell, origin: str, name: str
) -> None:
    _Origin.answers = {"x": WRONG[name]}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {"Range": "bytes=0-9"})
    assert refused(reply, NOT_AVAILABLE)


def test_the_same_said_twice_is_said(consumer: Consumer, sell: Sell, origin: str) -> None:
    _Origin.answers = {"x": part("bytes 0-9/1024; bytes 0-9/1024", BODY[:10])}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {"Range": "bytes=0-9"})
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, BODY[:10], "bytes 0-9/1024")


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([BODY[:10]], id="fewer"),
        pytest.param([BODY[:60], BODY[:39]], id="one fewer"),
        pytest.param([BODY[:100], BODY[:1]], id="one more"),
        pytest.param([BODY[:500]], id="more in one chunk"),
    ],
)
def test_a_chunked_part_has_to_have_the_bytes_that_it_names(
    consumer: Consumer, sell: Sell, origin: str, chunks: list[bytes]
) -> None:
    _Origin.answers = {"x": chunked("bytes 0-99/1024", *chunks)}
    url = consumer.download_url(*sell(url_file(f"{origin}/x/data.bin")))
    try:
        reply = fetch(url, {"Range": "bytes=0-99"})
    except (http.client.IncompleteRead, ConnectionResetError):
        return
    assert reply.status == 400


@pytest.mark.parametrize("size", [100, 900_000])
def test_a_chunked_part_gets_its_length(consumer: Consumer, sell: Sell, origin: str, size: int) -> None:
    """On both paths of a body."""
    data = (BODY * 1000)[:size]
    _Origin.answers = {"x": chunked(f"bytes 0-{size - 1}/1024000", data[: size // 2], data[size // 2 :])}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {"Range": f"bytes=0-{size - 1}"})
    assert (reply.status, reply.body, reply.headers["content-length"]) == (206, data, str(size))


def test_nothing_of_a_416_passes_but_the_length(consumer: Consumer, sell: Sell, origin: str) -> None:
    secret = "http://secret.example/x"
    names = ("Content-Range", "ETag", "Last-Modified", "Accept-Ranges", "Content-Encoding", "Content-Type")
    lines = "".join(f"{name}: {secret}\r\n" for name in names)
    _Origin.answers = {"x": f"HTTP/1.1 416 No\r\n{lines}Content-Length: 6\r\n\r\nsecret".encode()}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {"Range": "bytes=5000-"})
    assert (reply.status, reply.body) == (416, b"")
    assert "secret" not in str(reply.headers)
    _Origin.answers = {"x": b"HTTP/1.1 416 No\r\nContent-Range: BYTES */1024\r\nContent-Length: 0\r\n\r\n"}
    reply = fetch(consumer.download_url(*sell(url_file(f"{origin}/x/data.bin"))), {"Range": "bytes=5000-"})
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */1024")


@pytest.mark.parametrize("wanted", [None, "bytes=0-9"])
def test_the_next_gateway_is_asked(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: str, wanted: str | None
) -> None:
    good = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + BODY
        if wanted is None
        else part("bytes 0-9/1024", BODY[:10])
    )
    _Origin.answers = {"wrong": UNASKED["a tenth"] if wanted is None else WRONG["another range"], "good": good}
    own = launch(IPFS_GATEWAY=f"{origin}/wrong, {origin}/good")
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    reply = fetch(
        buyer.download_url(*sell({"type": "ipfs", "hash": "QmXtkGkWCG47tVpiBr8f5FdHuCMPq8h2jhck4jgjSXKiWZ"})),
        {} if wanted is None else {"Range": wanted},
    )
    assert (reply.status, reply.body) == ((200, BODY) if wanted is None else (206, BODY[:10]))
