"""POST encrypt, checked with the independent eciespy."""

import pytest
from ecies import decrypt as eciespy_decrypt

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.http_client import Reply, request
from provider.testing.stage import DemoServer

OCTETS = "application/octet-stream"


def encrypt(server: DemoServer, body: bytes, query: str = "chainId=8996", content_type: str | None = OCTETS) -> Reply:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return request("POST", f"{server.url}/api/services/encrypt?{query}", body=body, headers=headers)


@pytest.mark.parametrize(
    "plaintext",
    [b'{"a":1}', b"", b"\x00", bytes(range(256)) * 40, "\u20ac \U0001f40b".encode(), b"x" * 3_000_000],
    ids=["json", "empty", "nul", "binary", "utf-8", "3 MB"],
)
def test_eciespy_decrypts_what_was_encrypted(server: DemoServer, plaintext: bytes) -> None:
    reply = encrypt(server, plaintext)
    assert reply.status == 201
    assert reply.headers["content-type"].partition(";")[0] == "text/plain"
    text = reply.body.decode()
    assert text.startswith("0x")
    assert text == text.lower()
    assert len(text) == 2 + 2 * (97 + len(plaintext))
    assert eciespy_decrypt(PROVIDER_KEY, bytes.fromhex(text[2:])) == plaintext


def test_same_plaintext_never_encrypts_the_same(server: DemoServer) -> None:
    assert encrypt(server, b"same").body != encrypt(server, b"same").body


@pytest.mark.parametrize("content_type", [OCTETS, f"{OCTETS}; charset=utf-8", OCTETS.upper(), f" {OCTETS} ;"])
def test_content_type_may_carry_parameters(server: DemoServer, content_type: str) -> None:
    assert encrypt(server, b"x", content_type=content_type).status == 201


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/json", "application/octet-streams"])
def test_other_content_types_are_refused_first(server: DemoServer, content_type: str | None) -> None:
    reply = encrypt(server, b"x", query="", content_type=content_type)
    expected = {"error": "Invalid request content type: should be application/octet-stream"}
    assert (reply.status, reply.json()) == (400, expected)


@pytest.mark.parametrize("query", ["", "chainId=", "chainid=8996", "x=1", "chainId=&chainId=8996"])
def test_missing_chain_id_is_refused(server: DemoServer, query: str) -> None:
    reply = encrypt(server, b"x", query=query)
    assert (reply.status, reply.json()) == (400, {"error": "Missing chainId query parameter."})


@pytest.mark.parametrize(
    "chain_id", ["1", "0", "-8996", "8996.0", "0x2324", "+8996", "8996%20", "9" * 10_000, "%00", "%ff"]
)
def test_unknown_chain_is_refused(server: DemoServer, chain_id: str) -> None:
    reply = encrypt(server, b"x", query=f"chainId={chain_id}")
    assert (reply.status, reply.json()) == (400, {"error": "Failed to encrypt."})


def test_plaintext_is_not_logged(server: DemoServer) -> None:
    assert encrypt(server, b"planted-plaintext-of-a-publisher").status == 201
    assert "planted-plaintext" not in server.child.stderr_tail(1 << 24)
