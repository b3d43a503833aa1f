"""Random queries and bodies at every route of the live server: never a 5xx, never a secret, never a traceback."""

import json
import socket
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.http_client import Reply
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoServer
from tests.e2e.conftest import Sell
from tests.support.logs import tracebacks
from tests.support.origin import Origin
from tests.support.raw_http import read_reply

FIELDS = {
    "nonce": ("userAddress",),
    "encrypt": ("chainId",),
    "decrypt": (
        "decrypterAddress", "chainId", "dataNftAddress", "transactionId", "encryptedDocument", "flags", "documentHash",
        "nonce", "signature",
    ),
    "fileinfo": (
        "type", "did", "hash", "url", "transactionId", "serviceId", "checksum", "userdata", "method", "headers",
    ),
    "initialize": ("documentId", "serviceId", "consumerAddress", "fileIndex", "transferTxId", "userdata"),
    "download": (
        "documentId", "serviceId", "consumerAddress", "transferTxId", "fileIndex", "nonce", "signature", "userdata",
    ),
}  # fmt: skip
METHODS = {
    "nonce": "GET",
    "encrypt": "POST",
    "decrypt": "POST",
    "fileinfo": "POST",
    "initialize": "GET",
    "download": "GET",
}
PLANTED = "planted-secret"
# A fraction of a second for each of the fourteen: an example takes some milliseconds.
fuzz = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.one_of(
    st.text(max_size=30),
    st.text(alphabet=string.hexdigits + "x", max_size=70),
    st.sampled_from(
        [
            "", "0", "-1", "1.0", "1e3", "nan", "-inf", "1e999", "\u0663", "0x", "0X12", "null", "true", "[]", "{}",
            "0x" + "ab" * 20, "0x" + "00" * 20, "ab" * 20, "0x" + "ff" * 65, "0x" + "ab" * 31, "did:op:", "did:op:x",
            "did:op:" + "0" * 64, "did:ope:" + "f" * 64, "8996", "1", "9" * 100, "9" * 10_000, "x" * 10_000,
            "\x00", "\r\nX: y", "url", "ipfs", "get", '{"a":', "[" * 2000, "../../etc/passwd", "%00%ff", "\ud800",
        ]
    ),
)  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.integers(min_value=2**63))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
raw_bytes = st.binary(max_size=40).map(
    lambda data: bytes(byte for byte in data if byte > 32 and byte not in b"\x7f#&?")
)


class Target:
    """One kept connection to the server; every reply is judged."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._sock: socket.socket | None = None
        self.secrets = [PROVIDER_KEY[2:], PLANTED]

    def fire(self, method: str, target: bytes, body: bytes = b"", content_type: str = "application/json") -> Reply:
        head = b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        if self._sock is None:
            self._sock = socket.create_connection(self._address, timeout=60)
        self._sock.sendall(head % (method.encode(), target, content_type.encode(), len(body)) + body)
        reply = read_reply(self._sock, method)
        if reply.headers.get("connection", "").lower() == "close":
            self.close()
        self.judge(reply)
        return reply

    def judge(self, reply: Reply) -> None:
        assert reply.status < 500, reply
        assert reply.headers["x-request-id"]
        if reply.status >= 400:
            value = json.loads(reply.body)
            assert value.keys() in ({"error"}, {"errors", "message", "success"})
        text = reply.body.decode("utf-8", "replace")
        for secret in self.secrets:
            assert secret not in text

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


@pytest.fixture(scope="module")
def target(server: DemoServer) -> Iterator[Target]:
    aimed = Target(server.url)
    yield aimed
    aimed.close()
    log = server.child.stderr_tail(1 << 26)
    for secret in aimed.secrets:
        assert secret not in log
    assert tracebacks(log) == []
    assert "unforeseen" not in log
    assert "Task was destroyed" not in log


@pytest.fixture(scope="module")
def sold(sell: Sell, origin: Origin) -> tuple[Published, str]:
    return sell(url_file(f"{origin.url}/data.csv?key={PLANTED}", headers={"X-Key": PLANTED}))


def path_of(route: str) -> bytes:
    return f"/api/services/{route}".encode()


def as_body(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize("route", FIELDS)
def test_random_queries(target: Target, route: str) -> None:
    keys = st.sampled_from([*FIELDS[route], "", "userAddress"])
    # Addresses of the world outside are no business of a test.
    quoted = texts.filter(lambda text: "://" not in text).map(lambda text: quote(text, errors="replace").encode())
    pairs = st.lists(st.tuples(keys, quoted | raw_bytes), max_size=8)

    @fuzz
    @given(pairs)
    def run(query: list[tuple[str, bytes]]) -> None:
        joined = b"&".join(key.encode() + b"=" + value for key, value in query)
        target.fire(METHODS[route], path_of(route) + (b"?" + joined if joined else b""))

    run()


@pytest.mark.parametrize("route", FIELDS)
def test_random_json_bodies(target: Target, route: str) -> None:
    fields = st.dictionaries(st.sampled_from([*FIELDS[route], "extra"]), values, max_size=8)
    bodies = fields.map(as_body) | values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50)
    content_types = st.sampled_from(
        ["application/json", "application/json; charset=utf-8", "text/plain", "application/octet-stream"]
    )

    @fuzz
    @given(bodies, content_types)
    def run(body: bytes, content_type: str) -> None:
        target.fire(METHODS[route], path_of(route), body, content_type)

    run()


def test_signed_downloads_with_random_parts(target: Target, consumer: Consumer, sold: tuple[Published, str]) -> None:
    """Past the signature, where assets, orders and files are looked at."""
    asset, tx = sold
    deep = st.dictionaries(
        st.sampled_from(["documentId", "serviceId", "transferTxId", "fileIndex", "userdata", "chainId"]),
        values,
        max_size=3,
    )
    nonces = iter(range(int(consumer.next_nonce()), 1 << 60))

    @fuzz
    @given(deep)
    def run(changes: dict[str, Any]) -> None:
        nonce = str(next(nonces))
        parameters = {**consumer.download_parameters(asset, tx, nonce=nonce), **changes}
        did = parameters["documentId"]
        if isinstance(did, str) and did.isascii():
            parameters["signature"] = consumer.sign(did, nonce)
        target.secrets[2:] = [str(parameters["signature"])[2:60]]
        target.fire("GET", path_of("download"), as_body(parameters))

    run()


def test_signed_decrypts_with_random_parts(target: Target, stranger: Consumer, sold: tuple[Published, str]) -> None:
    asset, _ = sold
    names = ["transactionId", "encryptedDocument", "flags", "documentHash", "dataNftAddress", "chainId"]
    deep = st.dictionaries(st.sampled_from(names), values, max_size=4)
    nonces = iter(range(int(stranger.next_nonce()), 1 << 62))

    @fuzz
    @given(deep)
    def run(changes: dict[str, Any]) -> None:
        nonce = str(next(nonces))
        parameters = {
            "chainId": 8996,
            "dataNftAddress": asset.data_nft,
            "flags": 2,
            "encryptedDocument": "0x00",
            "documentHash": "0x00",
            "decrypterAddress": stranger.address,
            "nonce": nonce,
            **changes,
        }
        named = parameters.get("transactionId") or parameters["dataNftAddress"]
        message = f"{named}{stranger.address}{parameters['chainId']}".encode("utf-8", "replace").decode()
        parameters["signature"] = stranger.sign(message, nonce)
        target.secrets[2:] = [parameters["signature"][2:60]]
        target.fire("POST", path_of("decrypt"), as_body(parameters))

    run()


def test_random_paths(target: Target) -> None:
    @fuzz
    @given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]), raw_bytes, st.booleans())
    def run(method: str, path: bytes, below: bool) -> None:
        target.fire(method, (b"/api/services/" if below else b"/") + path)

    run()
