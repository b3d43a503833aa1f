"""Documents that an event only refers to: fetched from a real origin, bounded, and bound to the event's hash."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from provider.chain.networks import Networks
from provider.crypto.accounts import Account
from provider.crypto.ecies import encrypt
from provider.errors import DecryptError, FileObjectInvalid, UpstreamError, UpstreamRefused, UpstreamTimedOut
from provider.files.origins import FileOrigins
from provider.files.remote_documents import RemoteDocuments
from provider.files.sources.sources import Seller, Sources
from provider.upstream.config import UpstreamConfig
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.shares import asking_client
from tests.support.raw_origin import Exchange, answering, raw_origin
from tests.support.recursion import recursion_of_a_server

DID = "did:op:x"
DDO = {"id": DID, "version": "4.1.0"}
TEXT = orjson.dumps(DDO)
ACCOUNT = Account.from_hex("01" * 32)


async def _nobody(_: Seller) -> frozenset[str]:
    return frozenset()


@asynccontextmanager
async def documents(*, max_bytes: int = 1000, timeout_seconds: float = 10.0) -> AsyncIterator[RemoteDocuments]:
    http = HttpOrigin(UpstreamConfig(allow_non_public_ip=True))
    none = Gateways((), own=http, guarded=http)
    ftp = FtpOrigin(UpstreamConfig(), tls_context=ssl.create_default_context())
    sources = Sources({}, answerable_for=_nobody)
    files = FileOrigins(http=http, ipfs=none, arweave=none, ftp=ftp, networks=Networks({}), sources=sources)
    try:
        yield RemoteDocuments(files, max_bytes=max_bytes, timeout_seconds=timeout_seconds)
    finally:
        http.close()


def stub_of(url: str, **more: object) -> bytes:
    return orjson.dumps({"remote": {"type": "URL", "url": url, "method": "GET", **more}})


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.gen_test(timeout=20)
async def test_a_document_of_the_expected_hash_is_read() -> None:
    async with raw_origin(answering(answer(TEXT))) as origin, documents() as remote:
        found = await remote.document(ACCOUNT, stub_of(origin.url), hashlib.sha256(TEXT).digest(), did=DID)
    assert orjson.loads(found) == DDO


@pytest.mark.gen_test(timeout=20)
async def test_white_space_is_no_part_of_the_hash() -> None:
    """Indexers hash what `JSON.stringify` makes of the content."""
    spaced = orjson.dumps(DDO, option=orjson.OPT_INDENT_2)
    async with raw_origin(answering(answer(spaced))) as origin, documents() as remote:
        found = await remote.document(ACCOUNT, stub_of(origin.url), hashlib.sha256(TEXT).digest(), did=DID)
    assert orjson.loads(found) == DDO


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("body", [TEXT + b"!", b"", b"not json"])
async def test_another_content_than_the_event_names_is_refused(body: bytes) -> None:
    async with raw_origin(answering(answer(body))) as origin, documents() as remote:
        with pytest.raises(DecryptError, match="Checksum"):
            await remote.document(ACCOUNT, stub_of(origin.url), hashlib.sha256(TEXT).digest(), did=DID)


@pytest.mark.gen_test(timeout=20)
async def test_an_envelope_may_be_encrypted_for_this_provider() -> None:
    sealed = orjson.dumps({"encryptedData": "0x" + encrypt(ACCOUNT.public_key, TEXT).hex()})
    async with raw_origin(answering(answer(sealed))) as origin, documents() as remote:
        found = await remote.document(ACCOUNT, stub_of(origin.url), hashlib.sha256(sealed).digest(), did=DID)
    assert orjson.loads(found) == DDO


@pytest.mark.gen_test(timeout=20)
async def test_a_failed_document_is_not_asked_for_again_at_once() -> None:
    async with raw_origin(answering(answer(b"", "404 Not Found"), keep=True)) as origin, documents() as remote:
        for _ in range(3):
            with pytest.raises(UpstreamRefused):
                await remote.fetch(stub_of(origin.url), did=DID)
        # Another location of the same host is another document.
        with pytest.raises(UpstreamRefused):
            await remote.fetch(stub_of(origin.url + "/other"), did=DID)
    assert len(origin.exchanges) == 2


@pytest.mark.gen_test(timeout=20)
async def test_who_waited_while_a_document_failed_does_not_ask_for_it_again() -> None:
    asking_client.set(b"aaaa")
    async with raw_origin(answering(answer(b"", "404 Not Found"), keep=True)) as origin, documents() as remote:
        stub = stub_of(origin.url)
        found = await asyncio.gather(*(remote.fetch(stub, did=DID) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(failure, UpstreamRefused) for failure in found)
    # So many of one client at once.
    assert len(origin.exchanges) == 8


@pytest.mark.gen_test(timeout=20)
async def test_a_document_that_is_too_long_is_refused() -> None:
    async with raw_origin(answering(answer(bytes(1001)))) as origin, documents(max_bytes=1000) as remote:
        with pytest.raises(UpstreamRefused) as refused:
            await remote.fetch(stub_of(origin.url), did=DID)
    assert refused.value.detail == "origin: a document of more than 1000 bytes"


@pytest.mark.gen_test(timeout=20)
async def test_a_document_that_does_not_come_in_time_is_given_up() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await exchange.gone()

    async with raw_origin(silent) as origin, documents(timeout_seconds=0.2) as remote:
        with pytest.raises(UpstreamTimedOut):
            await remote.fetch(stub_of(origin.url), did=DID)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("kind", ["smartcontract", "graphql", "source", ""])
async def test_only_files_with_a_location_may_hold_a_document(kind: str) -> None:
    async with documents() as remote:
        with pytest.raises(FileObjectInvalid):
            await remote.fetch(stub_of("http://127.0.0.1:9/", type=kind, query="{a}"), did=DID)


@pytest.mark.gen_test(timeout=20)
async def test_a_type_that_python_cannot_print_is_no_type() -> None:
    stub = stub_of("http://127.0.0.1:9/", type="?").replace(b'"?"', b"[" * 1000 + b"]" * 1000)
    async with documents() as remote:
        with recursion_of_a_server(), pytest.raises(FileObjectInvalid):
            await remote.fetch(stub, did=DID)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    "more",
    [r', "x": "\ud800"', ', "x": [NaN, 123456789012345678901234567890]', r', "headers": {"X-A": "\ud800"}'],
    ids=["surrogate", "numbers", "header"],
)
async def test_a_stub_that_only_python_can_read_is_as_any_other(more: str) -> None:
    """Its publisher decides what is in it. It must not look like a defect of the server."""
    async with raw_origin(answering(answer(b"", "404 Not Found"))) as origin, documents() as remote:
        for url in (origin.url, origin.url + r"/\ud800"):
            stub = f'{{"remote": {{"type": "url", "url": "{url}", "method": "GET"{more}}}}}'.encode()
            for _ in range(2):
                with pytest.raises((UpstreamError, FileObjectInvalid)):
                    await remote.fetch(stub, did=DID)
