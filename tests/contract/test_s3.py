"""Objects of an S3 store that checks signatures: whole, in parts, by either style of address, and refused ones."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from provider.chain.networks import Networks
from provider.errors import UnsafeAddress
from provider.files.file_fields import Fields
from provider.files.file_object import S3File, parse_file_object
from provider.files.origins import FileOrigins
from provider.files.s3 import object_url, signed_get
from provider.files.userdata import Userdata
from provider.upstream.addresses import Address
from provider.upstream.config import UpstreamConfig
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.inspect import inspect
from provider.upstream.resume import rest_of
from provider.upstream.wish import NO_WISH
from tests.support.origin import pattern
from tests.support.processes import running
from tests.support.raw_origin import Exchange, Script, answering, raw_origin
from tests.support.sources import NO_SOURCES

boto3 = pytest.importorskip("boto3", reason="an S3 store needs the extra test-deploy")
pytest.importorskip("moto", reason="an S3 store needs the extra test-deploy")
SIZE = 2_000_000
KEYS = ("data.bin", "a folder/ü & b+c.csv", "q?x=1#y", "%2e%2e/x", "a//b", "~tilde (1)*'!.txt", "..", "end ")


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, Any]]:
    """The running store, one bucket, each key holding its own name, `data.bin` 2 MB."""
    with running("s3_server.py") as ready:
        client = boto3.client(
            "s3",
            endpoint_url=ready["endpoint"],
            region_name=ready["region"],
            aws_access_key_id=ready["accessKeyId"],
            aws_secret_access_key=ready["secretAccessKey"],
        )
        for key in KEYS:
            body = pattern(SIZE) if key == "data.bin" else key.encode()
            client.put_object(Bucket=ready["bucket"], Key=key, Body=body, ContentType="text/plain")
        yield ready


def file_of(store: dict[str, Any], key: str, **changes: object) -> S3File:
    names = ("endpoint", "bucket", "region", "accessKeyId", "secretAccessKey")
    access = {name: store[name] for name in names} | {"objectKey": key, "forcePathStyle": True} | changes
    file = parse_file_object({"type": "s3", "s3Access": access})
    assert isinstance(file, S3File)
    return file


def now() -> datetime:
    return datetime.now(UTC)


async def _to_loopback(_: str, port: int) -> list[Address]:
    return [(2, ("127.0.0.1", port))]


@asynccontextmanager
async def opened(file: S3File, asked: Fields = ()) -> AsyncIterator[HttpSource]:
    origin = HttpOrigin(UpstreamConfig(allow_non_public_ip=True), resolver=_to_loopback)
    try:
        async with origin.opened(signed_get(file, asked, now=now())) as source:
            yield source
    finally:
        origin.close()


async def read_all(source: HttpSource) -> bytes:
    out, buffer = b"", memoryview(bytearray(1 << 18))
    while count := await source.read_into(buffer):
        out += buffer[:count]
    return out


async def fetch(file: S3File, asked: Fields = ()) -> tuple[int, bytes]:
    async with opened(file, asked) as source:
        return source.status, await read_all(source)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("key", KEYS)
async def test_every_key_is_found(store: dict[str, Any], key: str) -> None:
    status, body = await fetch(file_of(store, key))
    expected = pattern(SIZE) if key == "data.bin" else key.encode()
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(expected).digest())


@pytest.mark.gen_test(timeout=20)
async def test_ranges_are_signed_and_served(store: dict[str, Any]) -> None:
    async with opened(file_of(store, "data.bin"), (("Range", "bytes=1000-1999"),)) as source:
        assert (source.status, source.headers.get("Content-Range")) == (206, f"bytes 1000-1999/{SIZE}")
        assert source.raw_socket() is not None
        assert await read_all(source) == pattern(SIZE)[1000:2000]


@pytest.mark.gen_test(timeout=20)
async def test_the_rest_of_a_broken_object_is_signed_anew(store: dict[str, Any]) -> None:
    async with opened(file_of(store, "data.bin")) as source:
        whole = rest_of(source)
    assert whole is not None
    rest = whole.after(1000)
    async with opened(file_of(store, "data.bin"), rest.fields) as source:
        assert rest.is_in(source)
        assert await read_all(source) == pattern(SIZE)[1000:]


@pytest.mark.gen_test(timeout=20)
async def test_the_bucket_may_be_in_the_host(store: dict[str, Any]) -> None:
    endpoint = store["endpoint"].replace("127.0.0.1", "localhost")
    file = file_of(store, "data.bin", endpoint=endpoint, forcePathStyle=False)
    assert object_url(file).startswith(f"http://{store['bucket']}.localhost:")
    status, body = await fetch(file)
    assert (status, body) == (200, pattern(SIZE))


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"secretAccessKey": "wrong"}, 403),
        ({"accessKeyId": "AKIAUNKNOWN000000000"}, 403),
        ({"objectKey": "missing"}, 404),
        ({"bucket": "missing-bucket"}, 404),
    ],
)
async def test_refusals_of_the_store_are_no_file(store: dict[str, Any], changes: dict[str, str], status: int) -> None:
    assert (await fetch(file_of(store, "data.bin", **changes)))[0] == status


@pytest.mark.gen_test(timeout=20)
async def test_objects_are_described_with_their_checksum(store: dict[str, Any]) -> None:
    origin = HttpOrigin(UpstreamConfig(allow_non_public_ip=True))
    opening = origin.open(signed_get(file_of(store, "data.bin"), now=now()))
    info = await inspect(opening, want_checksum=True, max_checksum_bytes=SIZE)
    origin.close()
    assert (info.valid, info.content_length, info.content_type) == (True, str(SIZE), "text/plain")
    assert (info.filename, info.checksum) == ("data.bin", hashlib.sha256(pattern(SIZE)).hexdigest())


@pytest.mark.gen_test(timeout=20)
async def test_a_redirect_to_another_host_carries_no_signature() -> None:
    async def redirecting(exchange: Exchange) -> bool:
        if "stolen" in exchange.path:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            location = f"http://other.test:{origin.url.rpartition(':')[2]}/stolen".encode()
            await exchange.send(b"HTTP/1.1 307 Moved\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")
        return False

    async with raw_origin(redirecting) as origin:
        file = S3File(origin.url, "bucket", "key", "planted-id", "planted-secret")
        assert (await fetch(file, (("Range", "bytes=0-1"),)))[0] == 200
        first, second = (exchange.request.lower() for exchange in origin.exchanges)
    assert b"authorization: aws4-hmac-sha256" in first
    assert b"x-amz-" in first
    assert b"authorization" not in second
    assert b"x-amz-" not in second
    assert b"range: bytes=0-1" in second


@pytest.mark.gen_test(timeout=20)
async def test_endpoints_pass_the_address_guard(store: dict[str, Any]) -> None:
    origin = HttpOrigin(UpstreamConfig())
    with pytest.raises(UnsafeAddress):
        await origin.open(signed_get(file_of(store, "data.bin"), now=now()))


@pytest.mark.gen_test(timeout=20)
async def test_temporary_keys_come_with_their_token(store: dict[str, Any]) -> None:
    assert (await fetch(file_of(store, "data.bin", **store["temporary"])))[0] == 200
    wrong = store["temporary"] | {"sessionToken": "wrong"}
    assert (await fetch(file_of(store, "data.bin", **wrong)))[0] in (400, 403)
    without = store["temporary"] | {"sessionToken": None}
    assert (await fetch(file_of(store, "data.bin", **without)))[0] in (400, 403)


@pytest.mark.gen_test(timeout=20)
async def test_who_pays_is_signed(store: dict[str, Any]) -> None:
    file = file_of(store, "data.bin", requestPayer="requester")
    signed = dict(signed_get(file, now=now()).headers)
    assert signed["x-amz-request-payer"] == "requester"
    assert "x-amz-request-payer" in signed["Authorization"]
    assert (await fetch(file))[0] == 200


@pytest.mark.gen_test(timeout=20)
async def test_without_keys_nothing_is_signed(store: dict[str, Any]) -> None:
    """Of a bucket that is not public the store gives nothing, so it did not take the request for a signed one."""
    file = file_of(store, "data.bin", accessKeyId=None, secretAccessKey=None)
    assert {name.lower() for name, _ in signed_get(file, (("Range", "bytes=0-1"),), now=now()).headers} == {"range"}
    assert (await fetch(file))[0] == 403


def _elsewhere(status: int, *fields: str, body: str = "") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


ELSEWHERE = {
    "400 with a header": _elsewhere(400, "x-amz-bucket-region: eu-west-1"),
    "400 with an error": _elsewhere(400, body="<Error><Region>eu-west-1</Region></Error>"),
    "301 without a location": _elsewhere(301, "x-amz-bucket-region: eu-west-1"),
    "307": _elsewhere(307, "x-amz-bucket-region: eu-west-1", "Location: http://127.0.0.1:1/elsewhere"),
}


def _front(store: dict[str, Any], answer: bytes) -> Script:
    """A store that has regions, which moto has not: requests signed for the bucket's own are moto's to judge."""

    async def script(exchange: Exchange) -> bool:
        if "/eu-west-1/s3/aws4_request" not in (exchange.field("Authorization") or ""):
            await exchange.send(answer)
            return False
        parts = urlsplit(store["endpoint"])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(exchange.request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        await exchange.send(await reader.read())
        writer.close()
        return False

    return script


def _files(http: HttpOrigin) -> FileOrigins:
    none = Gateways((), own=http, guarded=http)
    ftp = FtpOrigin(UpstreamConfig(allow_non_public_ip=True), tls_context=ssl.create_default_context())
    return FileOrigins(http=http, ipfs=none, arweave=none, ftp=ftp, networks=Networks({}), sources=NO_SOURCES)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("answer", list(ELSEWHERE.values()), ids=list(ELSEWHERE))
async def test_an_object_of_another_region_is_signed_again_once(store: dict[str, Any], answer: bytes) -> None:
    http = HttpOrigin(UpstreamConfig(allow_non_public_ip=True))
    async with raw_origin(_front(store, answer)) as front:
        file = file_of(store, "a//b", endpoint=front.url, region="us-east-1")
        source = await _files(http).open(file, Userdata(), NO_WISH)
        assert (source.status, await read_all(source)) == (200, b"a//b")
        source.release()
        assert len(front.exchanges) == 2
    http.close()


@pytest.mark.gen_test(timeout=20)
async def test_an_error_that_breaks_off_is_a_refusal_and_names_no_region() -> None:
    http = HttpOrigin(UpstreamConfig(allow_non_public_ip=True))
    broken = b"HTTP/1.1 400 X\r\nContent-Length: 500\r\n\r\n<Error><Code>Bad"
    async with raw_origin(answering(broken)) as front:
        file = S3File(front.url, "bucket", "key", "id", "secret", "us-east-1")
        source = await _files(http).open(file, Userdata(), NO_WISH)
        assert source.status == 400
        source.close()
        assert len(front.exchanges) == 1
    http.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_store_that_goes_on_naming_regions_is_asked_twice() -> None:
    regions = iter(["eu-west-1", "eu-west-2", "eu-west-3"])

    async def script(exchange: Exchange) -> bool:
        await exchange.send(_elsewhere(400, f"x-amz-bucket-region: {next(regions)}"))
        return False

    http = HttpOrigin(UpstreamConfig(allow_non_public_ip=True))
    async with raw_origin(script) as front:
        source = await _files(http).open(S3File(front.url, "b", "k", "id", "secret"), Userdata(), NO_WISH)
        assert (source.status, len(front.exchanges)) == (400, 2)
        source.close()
    http.close()
