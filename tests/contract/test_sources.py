"""Named sources: who may sell, and folders, buckets and URLs with credentials that change while the server runs."""

import asyncio
import contextlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provider.crypto.keccak import to_checksum_address
from provider.errors import SourceRefused, UpstreamRefused, UpstreamTruncated, UpstreamUnreachable
from provider.files.file_object import Seller, SourceFile
from provider.files.sources.config import parse_sources
from provider.files.sources.sources import Sources, build_sources
from provider.outgoing.sessions import Outgoing
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.resume import rest_of
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish
from tests.support.processes import running
from tests.support.raw_origin import Exchange, Script, raw_origin

LISTED, OTHER = to_checksum_address("0x" + "ab" * 20), to_checksum_address("0x" + "cd" * 20)
SELLER = Seller(1, LISTED, "0x12")
DATA = bytes(range(256)) * 4000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s"
PART = b"HTTP/1.1 206 Part\r\nContent-Length: %d\r\n%s\r\n%s"
UNAUTHORIZED = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Chain:
    """Says who answers for an asset, and keeps for which it was asked."""

    answerable: frozenset[str] = frozenset({LISTED})
    asked: list[Seller] = field(default_factory=list)

    async def answerable_for(self, seller: Seller) -> frozenset[str]:
        self.asked.append(seller)
        return self.answerable


@asynccontextmanager
async def sources(chain: Chain | None = None, **settings: dict[str, object]) -> AsyncIterator[Sources]:
    """The sources with these settings; each lists one publisher."""
    configs = parse_sources({name: {"publishers": [LISTED], **given} for name, given in settings.items()})
    own, guarded = HttpOrigin(UpstreamConfig(allow_non_public_ip=True)), HttpOrigin(UpstreamConfig())
    disk = Disk()
    built = build_sources(
        configs,
        UpstreamConfig(),
        answerable_for=(chain or Chain()).answerable_for,
        disk=disk,
        own=own,
        guarded=guarded,
        outgoing=Outgoing(),
    )
    try:
        yield built
    finally:
        await built.close()
        own.close()
        guarded.close()
        disk.close()


def file(path: str = "a/b.csv", source: str = "x") -> SourceFile:
    return SourceFile(source, path, SELLER)


async def content(source: Source) -> bytes:
    buffer, found = memoryview(bytearray(1 << 20)), bytearray()
    while count := await source.read_into(buffer):
        found += buffer[:count]
    source.release()
    return bytes(found)


def write(path: Path, text: str) -> str:
    """Replace a file as programs that rotate secrets do."""
    beside = path.with_name("beside")
    beside.write_text(text)
    beside.rename(path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "files" / "a").mkdir(parents=True)
    (tmp_path / "files" / "a" / "b.csv").write_bytes(DATA)
    return {"path": str(tmp_path / "files")}


# The lock


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "answerable",
    [{OTHER}, {LISTED, OTHER}, set(), {LISTED.lower()}],
    ids=["another", "another besides", "nobody known", "not checked"],
)
async def test_only_those_who_are_listed_may_sell(folder: dict[str, object], answerable: set[str]) -> None:
    chain = Chain()
    async with sources(chain, x=folder) as shelves:
        assert await content(await shelves.open(file(), NO_WISH)) == DATA
        chain.answerable = frozenset(answerable)
        refusals = []
        for asked in (file(), file("missing"), file(source="missing")):
            with pytest.raises(SourceRefused) as refusal:
                await shelves.open(asked, NO_WISH)
            refusals.append((refusal.value.public_text, refusal.value.code, refusal.value.http_status))
        # Whoever may not sell learns nothing of what there is, not even by whether the chain was asked.
        assert len(set(refusals)) == 1
        assert chain.asked == [SELLER] * 4


@pytest.mark.gen_test
async def test_a_file_without_an_asset_is_never_opened(folder: dict[str, object]) -> None:
    chain = Chain()
    async with sources(chain, x=folder) as shelves:
        with pytest.raises(SourceRefused):
            await shelves.open(SourceFile("x", "a/b.csv"), NO_WISH)
        assert chain.asked == []


@pytest.mark.gen_test
async def test_an_owner_of_one_source_may_not_sell_another_s(folder: dict[str, object]) -> None:
    async with sources(Chain(frozenset({OTHER})), x={**folder, "publishers": [OTHER]}, y=folder) as shelves:
        await content(await shelves.open(file(), NO_WISH))
        with pytest.raises(SourceRefused):
            await shelves.open(file(source="y"), NO_WISH)


# Folders


@pytest.mark.gen_test
async def test_a_folder_answers_ranges_and_the_rest_of_a_file(folder: dict[str, object]) -> None:
    async with sources(x=folder) as shelves:
        source = await shelves.open(file(), Wish("bytes=5-9"))
        assert (source.status, await content(source)) == (206, DATA[5:10])
        whole = await shelves.open(file(), NO_WISH)
        rest = rest_of(whole)
        whole.close()
        assert rest is not None
        again = await shelves.open(file(), NO_WISH, rest=rest.after(1000))
        assert rest.after(1000).is_in(again)
        assert await content(again) == DATA[1000:]
        with pytest.raises(UpstreamRefused):
            await shelves.open(file("missing"), NO_WISH)


# Buckets


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, Any]]:
    """A store that checks signatures, with one object below `exports/`."""
    boto3 = pytest.importorskip("boto3", reason="an S3 store needs the extra test-deploy")
    pytest.importorskip("moto", reason="an S3 store needs the extra test-deploy")
    with running("s3_server.py") as ready:

        def client(kind: str, keys: dict[str, str] = ready) -> Any:
            return boto3.client(
                kind,
                endpoint_url=ready["endpoint"],
                region_name=ready["region"],
                aws_access_key_id=keys["accessKeyId"],
                aws_secret_access_key=keys["secretAccessKey"],
            )

        client("s3").put_object(Bucket=ready["bucket"], Key="exports/a/b.csv", Body=DATA, ContentType="text/csv")
        yield ready | {"client": client}


def bucket(store: dict[str, Any], keys: dict[str, str], folder: Path) -> dict[str, object]:
    settings: dict[str, object] = {
        "url": f"s3://{store['bucket']}/exports",
        "endpoint": store["endpoint"],
        "region": store["region"],
        "path_style": True,
        "access_key_id_file": write(folder / "id", keys["accessKeyId"] + "\n"),
        "secret_access_key_file": write(folder / "key", keys["secretAccessKey"] + "\n"),
    }
    if "sessionToken" in keys:
        settings["session_token_file"] = write(folder / "token", keys["sessionToken"])
    return settings


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", ["key", "temporary"])
async def test_an_object_of_a_bucket_is_signed(store: dict[str, Any], kind: str, tmp_path: Path) -> None:
    keys = store if kind == "key" else store["temporary"]
    async with sources(x=bucket(store, keys, tmp_path)) as shelves:
        source = await shelves.open(file(), Wish("bytes=5-9"))
        assert (source.status, source.headers.get("Content-Type")) == (206, "text/csv")
        assert await content(source) == DATA[5:10]
        missing = await shelves.open(file("missing"), NO_WISH)
        assert missing.status in (403, 404)
        missing.close()


@pytest.mark.gen_test
async def test_a_rotated_key_works_without_a_restart(store: dict[str, Any], tmp_path: Path) -> None:
    """The store refuses the old key at once. The new one is in the files before the first request after that."""
    iam = store["client"]("iam")
    iam.create_user(UserName="rotating")
    allowed = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
    iam.put_user_policy(UserName="rotating", PolicyName="all", PolicyDocument=json.dumps(allowed))

    def new_key() -> dict[str, str]:
        key = iam.create_access_key(UserName="rotating")["AccessKey"]
        return {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}

    first = await asyncio.to_thread(new_key)
    async with sources(x=bucket(store, first, tmp_path)) as shelves:
        assert await content(await shelves.open(file(), NO_WISH)) == DATA
        second = await asyncio.to_thread(new_key)
        await asyncio.to_thread(iam.delete_access_key, UserName="rotating", AccessKeyId=first["accessKeyId"])
        refused = await shelves.open(file(), NO_WISH)
        assert refused.status == 403
        refused.close()
        bucket(store, second, tmp_path)
        assert await content(await shelves.open(file(), NO_WISH)) == DATA


# URLs


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def asking_for(wanted: dict[str, str]) -> Script:
    """An origin that opens its file to `wanted["Authorization"]` only."""

    async def script(exchange: Exchange) -> bool:
        if exchange.field("Authorization") == wanted["Authorization"]:
            await exchange.send(OK % (len(DATA), b'ETag: "1"\r\n', DATA))
        else:
            await exchange.send(UNAUTHORIZED)
        return True

    return script


@pytest.mark.gen_test
async def test_a_path_is_encoded_and_fields_are_sent() -> None:
    async with raw_origin(asking_for({"Authorization": "fixed"})) as origin:
        url = {"url": f"{origin.url}/exports/", "headers": {"Authorization": "fixed", "X-Api-Key": "k"}}
        async with sources(x=url) as shelves:
            source = await shelves.open(file("2026/ü ?#%2e.csv"), Wish("bytes=0-0"))
            assert await content(source) == DATA
            (exchange,) = origin.exchanges
            assert exchange.path == "/exports/2026/%C3%BC%20%3F%23%252e.csv"
            assert (exchange.field("X-Api-Key"), exchange.field("Range")) == ("k", "bytes=0-0")


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", ["basic", "bearer"])
async def test_a_rotated_secret_is_read_when_the_old_one_is_refused(tmp_path: Path, kind: str) -> None:
    def expected(secret: str) -> str:
        return basic("reader", secret) if kind == "basic" else f"Bearer {secret}"

    path, wanted = tmp_path / "secret", {"Authorization": expected("first")}
    named = {"user": "reader", "password_file": str(path)} if kind == "basic" else {"bearer_token_file": str(path)}
    write(path, "first\n")
    async with raw_origin(asking_for(wanted)) as origin, sources(x={"url": origin.url, **named}) as shelves:
        assert await content(await shelves.open(file(), NO_WISH)) == DATA
        wanted["Authorization"] = expected("second")
        refused = await shelves.open(file(), NO_WISH)
        assert refused.status == 401
        refused.close()
        asked = len(origin.exchanges)
        write(path, "second\n")
        assert await content(await shelves.open(file(), NO_WISH)) == DATA
        assert len(origin.exchanges) == asked + 2


@pytest.mark.gen_test
async def test_a_secret_that_is_rotated_in_the_middle_of_a_body_opens_the_rest(tmp_path: Path) -> None:
    path, half = tmp_path / "secret", len(DATA) // 2
    wanted = ["Bearer first"]

    async def script(exchange: Exchange) -> bool:
        if exchange.field("Authorization") != wanted[-1]:
            await exchange.send(UNAUTHORIZED)
        elif exchange.field("Range") is None:
            await exchange.send(OK % (len(DATA), b'ETag: "1"\r\n', DATA[:half]))
            return False
        else:
            fields = b'ETag: "1"\r\nContent-Range: bytes %d-%d/%d\r\n' % (half, len(DATA) - 1, len(DATA))
            await exchange.send(PART % (len(DATA) - half, fields, DATA[half:]))
        return True

    write(path, "first\n")
    settings = {"bearer_token_file": str(path)}
    async with raw_origin(script) as origin, sources(x={"url": origin.url, **settings}) as shelves:
        source = await shelves.open(file(), NO_WISH)
        whole, got = rest_of(source), b""
        buffer = memoryview(bytearray(1 << 16))
        while len(got) < half:
            got += bytes(buffer[: await source.read_into(buffer)])
        with pytest.raises(UpstreamTruncated):
            await source.read_into(buffer)
        source.close()
        wanted.append("Bearer second")
        write(path, "second\n")
        assert whole is not None
        rest = await shelves.open(file(), NO_WISH, rest=whole.after(len(got)))
        assert got + await content(rest) == DATA


@pytest.mark.gen_test
async def test_credentials_do_not_follow_a_redirect_to_another_host(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> bool:
        await exchange.send(b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n")
        return True

    token = {"bearer_token_file": write(tmp_path / "token", "planted"), "headers": {"X-Api-Key": "planted"}}
    async with raw_origin(script) as origin, sources(x={"url": origin.url, **token}) as shelves:
        # Nor is a private host reached over a redirect.
        with pytest.raises(Exception, match="Unsafe url"):
            await shelves.open(file(), NO_WISH)
        assert len(origin.exchanges) == 1


@dataclass
class TokenServer:
    """Token endpoint and files of one host: the newest token opens them."""

    secret: str = "s3cret:/"
    issued: int = 0
    lifetime: object = 3600
    accepted: str = ""
    fault: bytes = b""

    async def __call__(self, exchange: Exchange) -> bool:
        if not exchange.path.startswith("/token"):
            return await asking_for({"Authorization": f"Bearer {self.accepted}"})(exchange) or True
        assert exchange.request.endswith(b"\r\n\r\ngrant_type=client_credentials&scope=files.read")
        if self.fault:
            await exchange.send(self.fault)
            return True
        if exchange.field("Authorization") != basic("the+client", self.secret.replace(":", "%3A").replace("/", "%2F")):
            await exchange.send(UNAUTHORIZED)
            return True
        self.issued += 1
        self.accepted = f"token-{self.issued}"
        lifetime = b"" if self.lifetime is None else b', "expires_in": %s' % str(self.lifetime).encode()
        answer = b'{"access_token": "%s", "token_type": "Bearer"%s}' % (self.accepted.encode(), lifetime)
        await exchange.send(OK % (len(answer), b"Content-Type: application/json\r\n", answer))
        return True


@asynccontextmanager
async def with_tokens(server: TokenServer, folder: Path) -> AsyncIterator[Sources]:
    write(folder / "secret", server.secret)
    async with raw_origin(server) as origin:
        client = {"token_url": f"{origin.url}/token", "client_id": "the client", "scope": "files.read"}
        client["client_secret_file"] = str(folder / "secret")
        async with sources(x={"url": f"{origin.url}/files", **client}) as shelves:
            yield shelves


@pytest.mark.gen_test
async def test_one_token_serves_all_requests_that_wait_for_it(tmp_path: Path) -> None:
    server = TokenServer()
    async with with_tokens(server, tmp_path) as shelves:
        opened = await asyncio.gather(*(shelves.open(file(), NO_WISH) for _ in range(8)))
        assert [await content(source) for source in opened] == [DATA] * 8
        assert server.issued == 1


@pytest.mark.gen_test
async def test_a_token_is_renewed_before_its_end_and_when_it_is_refused(tmp_path: Path) -> None:
    server = TokenServer(lifetime=0.000001)
    async with with_tokens(server, tmp_path) as shelves:
        for issued in (1, 2):
            await content(await shelves.open(file(), NO_WISH))
            assert server.issued == issued
        server.lifetime = None
        await content(await shelves.open(file(), NO_WISH))
        await content(await shelves.open(file(), NO_WISH))
        assert server.issued == 3
        server.accepted = "revoked"
        await content(await shelves.open(file(), NO_WISH))
        assert server.issued == 4


@pytest.mark.gen_test
async def test_a_rotated_client_secret_is_read(tmp_path: Path) -> None:
    server = TokenServer(lifetime=0.000001)
    async with with_tokens(server, tmp_path) as shelves:
        await content(await shelves.open(file(), NO_WISH))
        server.secret = "another"
        write(tmp_path / "secret", "another\n")
        await content(await shelves.open(file(), NO_WISH))
        assert server.issued == 2


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "fault",
    [
        UNAUTHORIZED,
        OK % (2, b"", b"{}"),
        OK % (4, b"", b"null"),
        OK % (9, b"", b"not json!"),
        OK % (53, b"", b'{"access_token": "a\\r\\nX: y", "token_type": "Bearer"} '),
        OK % (43, b"", b'{"access_token": "abc", "token_type": "mac"}'),
        OK % (1 << 20, b"", b" " * (1 << 20)),
    ],
    ids=["refused", "empty", "null", "no JSON", "a line break", "another kind", "a megabyte"],
)
async def test_an_answer_without_a_token_fails(tmp_path: Path, fault: bytes) -> None:
    async with with_tokens(TokenServer(fault=fault), tmp_path) as shelves:
        with pytest.raises(UpstreamUnreachable) as failure:
            await shelves.open(file(), NO_WISH)
        assert "s3cret" not in (failure.value.detail or "")


@pytest.mark.gen_test
async def test_who_stops_waiting_for_a_token_leaves_the_others_one(tmp_path: Path) -> None:
    server = TokenServer()
    async with with_tokens(server, tmp_path) as shelves:
        first = asyncio.ensure_future(shelves.open(file(), NO_WISH))
        second = asyncio.ensure_future(shelves.open(file(), NO_WISH))
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert await content(await second) == DATA
