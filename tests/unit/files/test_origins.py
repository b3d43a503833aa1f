"""How files are asked for, and the rest of a broken one, by kind of file."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import Networks
from provider.errors import ContractCallFailed, FileObjectInvalid, GatewayUnset, UpstreamRefused, UpstreamUnreachable
from provider.files.file_object import parse_file_object
from provider.files.origins import FileOrigins
from provider.files.userdata import Userdata
from provider.upstream.gateways import Gateways
from provider.upstream.request_head import PreparedRequest
from provider.upstream.resume import Rest
from provider.upstream.source import HttpRequest
from provider.upstream.wish import NO_WISH, Wish
from tests.support.sources import NO_SOURCES

REST = Rest(100, 999, 1000, "ETag", '"v1"')
S3 = {
    "endpoint": "https://s3.example.com", "bucket": "b", "objectKey": "k", "region": "eu", "accessKeyId": "id",
    "secretAccessKey": "planted-secret",
}  # fmt: skip


class Unreachable:
    """An origin that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def open(self, request: object, *more: object, **named: object) -> None:
        self.asked.append((request, *more, named) if more else request)
        raise UpstreamUnreachable

    open_hop = open


async def asked(file: dict[str, object]) -> Any:
    """The one request for the rest of this file; its own wish for a range does not matter any more."""
    http, ftp = Unreachable(), Unreachable()
    gateways = Gateways(["https://gateway.example.com"], own=http, guarded=http)
    origins = FileOrigins(
        http=http, ipfs=gateways, arweave=gateways, ftp=ftp, networks=Networks({}), sources=NO_SOURCES
    )
    with pytest.raises(UpstreamUnreachable):
        await origins.open(parse_file_object(file), Userdata(), Wish("bytes=5-6"), rest=REST)
    (only,) = http.asked + ftp.asked
    return only


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "file",
    [
        {"type": "url", "url": "https://x.example.com/", "method": "GET"},
        {"type": "url", "url": "https://x.example.com/", "method": "GET", "headers": {"range": "bytes=0-", "A": "b"}},
        {"type": "ipfs", "hash": "Qm"},
        {"type": "arweave", "transactionId": "aB3" * 14 + "_"},
        {"type": "s3", "s3Access": S3},
    ],
)
async def test_the_rest_and_its_version_are_asked_for(file: dict[str, object]) -> None:
    request = await asked(file)
    assert isinstance(request, HttpRequest)
    headers = [(name.lower(), value) for name, value in request.headers if name.lower() in ("range", "if-range")]
    assert headers == [("range", "bytes=100-999"), ("if-range", '"v1"')]


@pytest.mark.gen_test
async def test_the_signature_covers_both() -> None:
    request = await asked({"type": "s3", "s3Access": S3})
    assert "SignedHeaders=host;if-range;range;" in dict(request.headers)["Authorization"]


@pytest.mark.gen_test
async def test_ftp_is_asked_for_it_too() -> None:
    _, wanted, named = await asked({"type": "ftp", "url": "ftp://x.example.com/file"})
    assert (wanted, named) == ("bytes=100-999", {"if_range": '"v1"'})


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "file",
    [
        {"type": "url", "url": "https://x.example.com/", "method": "POST"},
        {"type": "graphql", "url": "https://x.example.com/", "query": "{a}"},
    ],
)
async def test_answers_to_post_have_no_rest(file: dict[str, object]) -> None:
    http = Unreachable()
    none = Gateways([], own=http, guarded=http)
    origins = FileOrigins(http=http, ipfs=none, arweave=none, ftp=http, networks=Networks({}), sources=NO_SOURCES)
    with pytest.raises(UpstreamRefused):
        await origins.open(parse_file_object(file), Userdata(), NO_WISH, rest=REST)
    assert not http.asked


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("file", "gateway"),
    [({"type": "ipfs", "hash": "Qm"}, "IPFS"), ({"type": "arweave", "transactionId": "aB3" * 14 + "_"}, "ARWEAVE")],
)
async def test_files_of_a_gateway_need_one(file: dict[str, object], gateway: str) -> None:
    http = Unreachable()
    none = Gateways([], own=http, guarded=http)
    origins = FileOrigins(http=http, ipfs=none, arweave=none, ftp=http, networks=Networks({}), sources=NO_SOURCES)
    with pytest.raises(GatewayUnset, match=f"^No {gateway}_GATEWAY defined"):
        await origins.open(parse_file_object(file), Userdata(), NO_WISH)
    assert not http.asked


class Answering:
    """An origin that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest | PreparedRequest] = []

    async def open(self, request: HttpRequest | PreparedRequest) -> None:
        self.asked.append(request)


@pytest.mark.gen_test
async def test_a_request_without_wishes_is_prepared_once_for_its_file() -> None:
    http = Answering()
    gateways = Gateways([], own=http, guarded=http)
    origins = FileOrigins(
        http=http, ipfs=gateways, arweave=gateways, ftp=http, networks=Networks({}), sources=NO_SOURCES
    )
    file = parse_file_object({"type": "url", "url": "https://x.example.com/a", "method": "GET", "userdata": {"b": 1}})
    for _ in range(2):
        await origins.open(file, Userdata(), NO_WISH)
    first, second = http.asked
    assert first is second
    assert isinstance(first, PreparedRequest)
    assert first.payload.startswith(b"GET /a?b=1 HTTP/1.1\r\n")
    assert "example" not in repr(first) + repr(file)
    for userdata, wanted in ((Userdata({"c": "2"}), NO_WISH), (Userdata(), Wish("bytes=0-1"))):
        await origins.open(file, userdata, wanted)
        asked = http.asked[-1]
        assert isinstance(asked, HttpRequest)
        assert asked.url.endswith("?c=2" if userdata.values else "?b=1")
        assert (("Range", "bytes=0-1") in asked.headers) is (wanted is not NO_WISH)


class Chain:
    """A chain on which every function of every contract returns the chain's number, or `answer`."""

    def __init__(self, number: int, answer: object = None) -> None:
        self.rpc = self
        self._answer = f"0x{number:064x}" if answer is None else answer

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        return [self._answer for _ in calls]


def of_chains(*chains: int, answer: object = None) -> FileOrigins:
    http = Unreachable()
    none = Gateways([], own=http, guarded=http)
    networks = Networks({number: Chain(number, answer) for number in chains})
    return FileOrigins(http=http, ipfs=none, arweave=none, ftp=http, networks=networks, sources=NO_SOURCES)


SUPPLY = {
    "type": "smartcontract",
    "address": "0x" + "12" * 20,
    "abi": {
        "type": "function",
        "name": "totalSupply",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
    },
}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("chains", "of_file", "of_asset", "asked_on"),
    [((1, 137), 137, 1, 137), ((1, 137), None, 1, 1), ((137,), None, None, 137), ((1, 137), None, None, None)],
    ids=["the file's", "the asset's", "the only one", "nobody's"],
)
async def test_a_contract_is_asked_on_the_chain_of_the_file_or_else_of_the_asset(
    chains: tuple[int, ...], of_file: int | None, of_asset: int | None, asked_on: int | None
) -> None:
    origins = of_chains(*chains)
    file = parse_file_object(SUPPLY if of_file is None else SUPPLY | {"chainId": of_file})
    if asked_on is None:
        with pytest.raises(FileObjectInvalid):
            await origins.open(file, Userdata(), NO_WISH, chain_id=of_asset)
        return
    source = await origins.open(file, Userdata(), NO_WISH, chain_id=of_asset)
    buffer = memoryview(bytearray(100))
    assert bytes(buffer[: await source.read_into(buffer)]) == str(asked_on).encode()
    info = await origins.inspect(file, Userdata(), want_checksum=True, chain_id=of_asset)
    assert (info.valid, info.content_length, info.filename) == (True, len(str(asked_on)), None)
    assert info.checksum == hashlib.sha256(str(asked_on).encode()).hexdigest()


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", [RpcFault(3, "execution reverted: planted"), "text", "0x12", 5], ids=str)
async def test_a_contract_that_returns_no_value_is_no_file(answer: object) -> None:
    origins = of_chains(1, answer=answer)
    file = parse_file_object(SUPPLY)
    with pytest.raises(ContractCallFailed) as failed:
        await origins.open(file, Userdata(), NO_WISH)
    assert "planted" not in f"{failed.value} {failed.value.detail}"
    assert not (await origins.inspect(file, Userdata())).valid
