"""Every type of file through the server: downloaded, described, in parts, refused; gateways with failover."""

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

from provider.errors import PreconditionRefused
from provider.testing.chain.contracts import artifact, contract_at
from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_fileinfo import ask as ask_fileinfo
from tests.e2e.test_fileinfo import by_asset, one
from tests.support.downloads import ask, refused
from tests.support.metadata_store import MetadataStore
from tests.support.origin import CSV, Origin, pattern, wait_until
from tests.support.processes import running

CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
NO_STORE = "an S3 store needs the extra test-deploy"
TX_ID = "aB3" * 14 + "_"
SIZE = 700_000
QUERY = "query($id: ID!) { nft(id: $id) { symbol } }"
FTP_USERINFO = f"publisher:{quote('p@ss:w0rd/planted', safe='')}"
PRIVATE = {"ALLOW_NON_PUBLIC_IP": "false"}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running S3 store and FTP server, each with `folder/data set.bin`."""
    boto3 = pytest.importorskip("boto3", reason=NO_STORE)
    pytest.importorskip("moto", reason=NO_STORE)
    folder = tmp_path_factory.mktemp("ftp")
    (folder / "folder").mkdir()
    (folder / "folder" / "data set.bin").write_bytes(pattern(SIZE))
    with (folder / "large.bin").open("wb") as large:
        large.truncate(1 << 28)
    with ExitStack() as stack:
        s3 = stack.enter_context(running("s3_server.py"))
        ftp = stack.enter_context(running("ftp_server.py", str(folder), "plain"))
        keys = {"aws_access_key_id": s3["accessKeyId"], "aws_secret_access_key": s3["secretAccessKey"]}
        client = boto3.client("s3", endpoint_url=s3["endpoint"], region_name=s3["region"], **keys)
        client.put_object(Bucket=s3["bucket"], Key="folder/data set.bin", Body=pattern(SIZE), ContentType="image/png")
        yield {"s3": s3, "ftp": ftp}


@pytest.fixture(scope="module")
def own(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path, origin: Origin
) -> DemoServer:
    """A server whose first gateways are down, or limit it."""
    (closed,) = free_ports(1)
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "REQUEST_TIMEOUT": "1",
        "IPFS_GATEWAY": f"http://127.0.0.1:{closed}, {origin.url}/limited, {origin.url}/gateway/",
        "ARWEAVE_GATEWAY": json.dumps([f"{origin.url}/status/502", f"{origin.url}/gateway"]),
    }
    started = launch_server(children, chain, server_folder, settings, name="file-types")
    started.wait_ready()
    return started


@pytest.fixture(scope="module")
def buyer(chain: DemoChain, own: DemoServer) -> Consumer:
    """The consumer of `sell`, at this server."""
    return Consumer(chain.wallet(CONSUMER_KEY), own.url)


def view(contract: str, name: str) -> dict[str, Any]:
    """One function of an Ocean contract's ABI, as publishers copy it."""
    (found,) = [item for item in artifact(contract)["abi"] if item.get("name") == name and item["type"] == "function"]
    return found


def contract_file(address: str, contract: str, name: str, **more: object) -> dict[str, object]:
    return {"type": "smartcontract", "address": address.lower(), "abi": view(contract, name), **more}


def s3_file(stores: dict[str, Any], **more: object) -> dict[str, object]:
    names = ("endpoint", "region", "bucket", "accessKeyId", "secretAccessKey")
    access = {name: stores["s3"][name] for name in names}
    return {"type": "s3", "s3Access": access | {"objectKey": "folder/data set.bin", "forcePathStyle": True} | more}


def ftp_file(stores: dict[str, Any], name: str = "folder/data%20set.bin") -> dict[str, object]:
    return {"type": "ftp", "url": f"ftp://{FTP_USERINFO}@127.0.0.1:{stores['ftp']['port']}/{name}"}


Shelf = tuple[Published, str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def shelf(sell: Sell, origin: Origin, stores: dict[str, Any], chain: DemoChain) -> Shelf:
    """One asset with a file of each type, and the order for it."""
    files: list[dict[str, object]] = [
        {"type": "ipfs", "hash": CID, "headers": {"X-Key": "planted-header"}},
        {"type": "arweave", "transactionId": TX_ID},
        {"type": "graphql", "url": f"{origin.url}/graphql", "query": QUERY},
        contract_file(chain.contracts.ocean, "OceanToken", "balanceOf", chainId=chain.contracts.chain_id),
        s3_file(stores),
        ftp_file(stores),
    ]
    asset, tx = sell(*files)
    return asset, tx, files


LONG_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"
NAMES = ["ipfs", "arweave", "graphql", "smartcontract", "s3", "ftp"]


def balance_text(chain: DemoChain, address: str) -> bytes:
    """The contract's answer, read by web3."""
    token = contract_at(chain.w3, "OceanToken", chain.contracts.ocean)
    return json.dumps(token.functions.balanceOf(address).call()).encode()


def expected_bodies(chain: DemoChain, userdata: dict[str, str]) -> list[bytes]:
    answer = json.dumps({"data": {"query": QUERY, "variables": userdata}}).encode()
    return [CSV, CSV, answer, balance_text(chain, userdata["account"]), pattern(SIZE), pattern(SIZE)]


def test_every_type_is_downloaded(own: DemoServer, buyer: Consumer, shelf: Shelf, chain: DemoChain) -> None:
    asset, tx, _ = shelf
    userdata = {"account": buyer.address, "id": "7"}
    types = ["text/csv", "text/csv", "application/json; charset=utf-8", "application/json", "image/png"]
    for index, body in enumerate(expected_bodies(chain, userdata)):
        got = buyer.download(asset, tx, file_index=index, userdata=json.dumps(userdata))
        assert (got.status, got.complete, got.size_bytes) == (200, True, len(body)), NAMES[index]
        assert got.sha256 == hashlib.sha256(body).hexdigest(), NAMES[index]
        assert got.headers["content-type"] == (*types, "application/octet-stream")[index]
        # 32 random digits for what has no name of its own (`provider-api.md` section 11.5).
        stem, _, extension = (got.filename or "").strip('"').partition(".")
        named = [(32, "csv"), (32, "csv"), (32, "json"), (32, "json"), (len("data set"), "bin")]
        assert (len(stem), extension) == (*named, named[-1])[index], got.filename


def test_every_type_is_described(own: DemoServer, shelf: Shelf, chain: DemoChain, buyer: Consumer) -> None:
    asset, _, files = shelf
    userdata = {"account": buyer.address, "id": "7"}
    items = ask_fileinfo(own, by_asset(asset, checksum=True, userdata=userdata)).json()
    bodies = expected_bodies(chain, userdata)
    names = [CID, "", "graphql", None, "data set.bin", "data set.bin"]
    types = ["text/csv", "text/csv", "application/json", "application/json", "image/png", "application/octet-stream"]
    for index, item in enumerate(items):
        length: object = len(bodies[index]) if NAMES[index] == "smartcontract" else str(len(bodies[index]))
        expected = {"index": index, "type": NAMES[index], "valid": True, "contentLength": length}
        expected |= {"contentType": types[index], "checksumType": "sha256"}
        expected |= {"checksum": hashlib.sha256(bodies[index]).hexdigest()}
        expected |= {"filename": names[index]} if names[index] is not None else {}
        assert item == expected
        alone = ask_fileinfo(own, {**files[index], "checksum": True, "userdata": userdata}).json()
        assert alone == [{**expected, "index": 0}]


@pytest.mark.parametrize("name", ["s3", "ftp"])
def test_parts_of_stored_files_are_served(buyer: Consumer, shelf: Shelf, name: str) -> None:
    asset, tx, _ = shelf
    url = with_query(
        f"{buyer.provider_url}/api/services/download",
        buyer.download_parameters(asset, tx, file_index=NAMES.index(name)),
    )
    reply = request("GET", url, headers={"Range": "bytes=100000-"})
    assert (reply.status, reply.body) == (206, pattern(SIZE)[100_000:])
    assert reply.headers["content-range"] == f"bytes 100000-{SIZE - 1}/{SIZE}"


@pytest.mark.parametrize("name", NAMES)
def test_conditions_hold_for_every_type(buyer: Consumer, shelf: Shelf, chain: DemoChain, name: str) -> None:
    """Whether what serves it knows conditions, ranges only, or nothing of either."""
    asset, tx, _ = shelf
    index, userdata = NAMES.index(name), {"account": buyer.address, "id": "7"}
    body = expected_bodies(chain, userdata)[index]

    def ask(**headers: str) -> Reply:
        parameters = buyer.download_parameters(asset, tx, file_index=index, userdata=json.dumps(userdata))
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        return request("GET", with_query(f"{buyer.provider_url}/api/services/download", parameters), headers=fields)

    first = ask()
    etag, changed = first.headers.get("etag"), first.headers.get("last-modified")
    assert (etag is None, changed is None) == (name in ("graphql", "ftp"), name not in ("s3", "ftp"))
    assert ask(If_Match='"other"').json() == {"error": f"Provider Ganache: {PreconditionRefused.text}"}
    whole = [{"If_None_Match": '"other"'}, {"If_Match": "*"}, {"Range": "bytes=0-0", "If_Range": '"other"'}]
    failed, unmodified = [{"If_Match": '"other"', "Range": "bytes=0-0"}], [{"If_None_Match": "*"}]
    if etag is not None:
        whole += [{"If_Match": etag}]
        unmodified += [{"If_None_Match": etag}, {"If_None_Match": etag, "Range": "bytes=0-0"}]
    if changed is not None:
        whole += [{"If_Modified_Since": LONG_AGO}, {"Range": "bytes=0-0", "If_Range": LONG_AGO}]
        failed += [{"If_Unmodified_Since": LONG_AGO}]
        unmodified += [{"If_Modified_Since": changed}]
    for status, rows in ((200, whole), (412, failed), (304, unmodified)):
        for fields in rows:
            reply = ask(**fields)
            assert (reply.status, fields) == (status, fields)
            assert reply.body == (body if status == 200 else b"") or status == 412
            if status == 304:
                assert reply.headers.get("etag") == etag
                # A store that answers 304 itself may leave the time out (RFC 9110 section 15.4.5).
                assert reply.headers.get("last-modified") in (None, changed)
    if etag is not None and name in ("s3", "smartcontract"):
        part = ask(Range="bytes=0-0", If_Range=etag)
        assert (part.status, part.body) == (206, body[:1])


@pytest.mark.parametrize("name", ["s3", "ftp"])
def test_stored_files_are_spliced(own: DemoServer, buyer: Consumer, shelf: Shelf, name: str) -> None:
    asset, tx, _ = shelf

    def spliced() -> int:
        return own.child.stderr_tail(1 << 24).count('"path":"splice"')

    before = spliced()
    assert buyer.download(asset, tx, file_index=NAMES.index(name)).complete
    wait_until(lambda: spliced() > before)


def test_a_consumer_that_leaves_ends_the_ftp_transfer(
    own: DemoServer, buyer: Consumer, sell: Sell, stores: dict[str, Any]
) -> None:
    def connections() -> list[int]:
        found = psutil.Process(own.child.pid).net_connections("tcp4")
        return [entry.raddr.port for entry in found if entry.raddr and entry.raddr.port == stores["ftp"]["port"]]

    asset, tx = sell(ftp_file(stores, "large.bin"))
    target = urlsplit(buyer.download_url(asset, tx))
    with socket.create_connection((target.hostname, target.port), timeout=60) as leaving:
        leaving.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert leaving.recv(100).startswith(b"HTTP/1.1 200 ")
        assert connections()
    wait_until(lambda: not connections())


# Smart contracts


@pytest.mark.parametrize(
    ("userdata", "text"),
    [
        ({}, "Missing parameters"),
        ({"other": 1}, "Missing userparams: account"),
        ({"account": "nobody"}, "userdata does not fit the inputs of the function."),
        ({"account": 0}, "userdata does not fit the inputs of the function."),
        ("{broken", "userdata is not a JSON object."),
        ("[1]", "userdata is not a JSON object."),
    ],
)
def test_inputs_of_a_function_are_checked(
    own: DemoServer, buyer: Consumer, shelf: Shelf, userdata: object, text: str
) -> None:
    asset, tx, files = shelf
    sent = userdata if isinstance(userdata, str) else json.dumps(userdata)
    reply = ask(buyer, asset, tx, file_index=3, userdata=sent)
    assert refused(reply, f"Provider Ganache: {text}")
    assert refused(ask_fileinfo(own, {**files[3], "userdata": userdata}), text)


def results(chain: DemoChain, asset: Published) -> list[tuple[dict[str, object], dict[str, object], Callable[[], Any]]]:
    """Files, user data and what web3 says of the same calls."""
    nft, token = asset.data_nft, asset.datatokens[0]
    on_nft, on_token = (
        contract_at(chain.w3, name, at).functions for name, at in (("ERC721Template", nft), ("ERC20Template", token))
    )
    who = chain.wallet(CONSUMER_KEY).address
    return [
        (contract_file(token, "ERC20Template", "cap"), {}, on_token.cap().call),
        (contract_file(token, "ERC20Template", "name"), {}, on_token.name().call),
        (contract_file(nft, "ERC721Template", "getMetaData"), {}, on_nft.getMetaData().call),
        (contract_file(nft, "ERC721Template", "getTokensList"), {}, on_nft.getTokensList().call),
        (contract_file(nft, "ERC721Template", "ownerOf"), {"tokenId": 1}, on_nft.ownerOf(1).call),
        (contract_file(nft, "ERC721Template", "ownerOf"), {"tokenId": "0x1"}, on_nft.ownerOf(1).call),
        (contract_file(nft, "ERC721Template", "getPermissions"), {"user": who}, on_nft.getPermissions(who).call),
        (
            contract_file(nft, "ERC721Template", "supportsInterface"),
            {"interfaceId": "0x80ac58cd"},
            on_nft.supportsInterface(bytes.fromhex("80ac58cd")).call,
        ),
    ]


def test_results_are_those_of_the_contract(own: DemoServer, shelf: Shelf, chain: DemoChain) -> None:
    """Large integers exact, structs and arrays as lists, several outputs as a list (K32)."""
    for file, userdata, call in results(chain, shelf[0]):
        text = json.dumps(call())
        item = one(own, file, userdata=userdata, checksum=True)
        assert (item["valid"], item["contentLength"]) == (True, len(text)), file
        assert item["checksum"] == hashlib.sha256(text.encode()).hexdigest()


def test_bytes_are_hex(own: DemoServer, shelf: Shelf) -> None:
    file = contract_file(shelf[0].datatokens[0], "ERC20Template", "PERMIT_TYPEHASH")
    item = one(own, file, checksum=True)
    signature = b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    from eth_utils import keccak  # noqa: PLC0415 - an independent digest

    text = json.dumps("0x" + keccak(signature).hex())
    assert item["checksum"] == hashlib.sha256(text.encode()).hexdigest()


def test_calls_that_the_contract_refuses_are_invalid_files(
    own: DemoServer, buyer: Consumer, sell: Sell, chain: DemoChain
) -> None:
    """Nothing of the node's text is repeated."""
    refusing = contract_file(chain.contracts.ocean, "OceanToken", "transferFrom")
    refusing["abi"] = {**view("OceanToken", "transferFrom"), "stateMutability": "view"}
    inputs = [item["name"] for item in view("OceanToken", "transferFrom")["inputs"]]
    userdata = dict(zip(inputs, (buyer.address, buyer.address, 2**255), strict=True))
    nothing_there = contract_file("0x" + "12" * 20, "OceanToken", "totalSupply")
    assert one(own, refusing, userdata=userdata) == {"index": 0, "type": "smartcontract", "valid": False}
    assert one(own, nothing_there) == {"index": 0, "type": "smartcontract", "valid": False}
    asset, tx = sell(refusing, nothing_there)
    for index in (0, 1):
        reply = ask(buyer, asset, tx, file_index=index, userdata=json.dumps(userdata))
        assert refused(reply, "Provider Ganache: Failed to call contract")


def test_other_chains_are_refused(own: DemoServer, chain: DemoChain) -> None:
    file = contract_file(chain.contracts.ocean, "OceanToken", "totalSupply", chainId=1)
    assert refused(ask_fileinfo(own, file), "Unsupported chain ID 1")


# GraphQL


def test_broken_variables_are_refused(own: DemoServer, buyer: Consumer, shelf: Shelf) -> None:
    asset, tx, _ = shelf
    reply = ask(buyer, asset, tx, file_index=2, userdata="{broken")
    assert refused(reply, "Provider Ganache: userdata is not a JSON object.")


# Gateways


def test_user_data_that_cannot_be_read_are_left_out_of_a_get(
    own: DemoServer, buyer: Consumer, shelf: Shelf, origin: Origin
) -> None:
    asset, tx, _ = shelf
    assert ask(buyer, asset, tx, file_index=0, userdata="{broken").body == CSV
    seen = origin.requests(f"/gateway/ipfs/{CID}")[-1]
    assert (seen.query, seen.headers["x-key"]) == ({}, "planted-header")
    assert ask(buyer, asset, tx, file_index=0, userdata='{"a": 1}').body == CSV
    assert origin.requests(f"/gateway/ipfs/{CID}")[-1].query == {"a": ["1"]}


def test_ranges_reach_the_gateway(own: DemoServer, buyer: Consumer, sell: Sell) -> None:
    asset, tx = sell({"type": "ipfs", "hash": "large/file.bin"}, {"type": "ipfs", "hash": "large"})
    url = buyer.download_url(asset, tx, file_index=0)
    reply = request("GET", url, headers={"Range": "bytes=5-9"})
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, pattern(10)[5:], "bytes 5-9/400000")
    assert buyer.download(asset, tx, file_index=1).size_bytes == 400_000


@pytest.mark.parametrize("file", [{"type": "ipfs", "hash": "missing"}, {"type": "arweave", "transactionId": "missing"}])
def test_what_no_gateway_has_is_invalid(own: DemoServer, file: dict[str, object]) -> None:
    assert one(own, file) == {"index": 0, "type": file["type"], "valid": False}


@pytest.mark.parametrize(
    "hash_",
    ["http://127.0.0.1/x", "//evil.test/x", "../api/v0/id", "a/../../x", "a?b=c", "a#b", "%2e%2e/x", "a b", "é"],
)
def test_ids_cannot_lead_elsewhere(own: DemoServer, hash_: str) -> None:
    """K31."""
    for file in ({"type": "ipfs", "hash": hash_}, {"type": "arweave", "transactionId": hash_}):
        assert refused(ask_fileinfo(own, file), "malformed file object.")


def test_only_the_gateway_itself_may_be_on_a_private_network(launch: LaunchServer, origin: Origin) -> None:
    """Neither its redirects nor a URL file that names it are let through."""
    guarded = launch(IPFS_GATEWAY=f"{origin.url}/gateway", ARWEAVE_GATEWAY="off", REQUEST_TIMEOUT="1", **PRIVATE)
    moved = origin.requests("/gateway/ipfs/moved/")
    assert one(guarded, {"type": "ipfs", "hash": CID})["valid"] is True
    assert one(guarded, {"type": "ipfs", "hash": "redirect"})["valid"] is False
    assert one(guarded, {"type": "url", "url": f"{origin.url}/gateway/ipfs/{CID}"})["valid"] is False
    assert origin.requests("/gateway/ipfs/moved/") == moved
    text = "No ARWEAVE_GATEWAY defined, can not resolve arweave transaction id."
    assert refused(ask_fileinfo(guarded, {"type": "arweave", "transactionId": TX_ID}), text, 503)
    headers = {"Content-Type": "application/json"}
    reply = request("POST", f"{guarded.url}/directCommand", body=b'{"command": "status"}', headers=headers)
    served = reply.json()["supportedStorage"]
    assert [kind for kind, is_served in served.items() if not is_served] == ["arweave", "arwave"]


def test_redirects_of_a_gateway_are_followed(own: DemoServer, origin: Origin) -> None:
    assert one(own, {"type": "ipfs", "hash": "redirect"})["valid"] is True
    assert origin.requests("/gateway/ipfs/moved/")


# S3 and FTP


def test_stored_files_pass_the_address_guard(launch: LaunchServer, stores: dict[str, Any]) -> None:
    guarded = launch(**PRIVATE)
    for file in (s3_file(stores), ftp_file(stores)):
        assert one(guarded, file)["valid"] is False


@pytest.mark.parametrize("name", ["missing.bin", "folder/", "a%0d%0aDELE%20x", "%00", ""])
def test_ftp_paths_without_a_file_are_invalid(own: DemoServer, stores: dict[str, Any], name: str) -> None:
    assert one(own, ftp_file(stores, name))["valid"] is False


def test_wrong_keys_are_invalid(own: DemoServer, stores: dict[str, Any]) -> None:
    assert one(own, s3_file(stores, secretAccessKey="planted-wrong"))["valid"] is False


def test_secrets_of_files_stay_out_of_the_log(own: DemoServer, stores: dict[str, Any], shelf: Shelf) -> None:
    """Runs after the tests above in any order that matters: whatever was logged so far is looked at."""
    one(own, s3_file(stores, secretAccessKey="planted-wrong"))
    one(own, ftp_file(stores, "planted-name"))
    log = own.child.stderr_tail(1 << 24)
    access = stores["s3"]
    for secret in ("planted", "p@ss", access["accessKeyId"], access["secretAccessKey"], CID, TX_ID, "AWS4-HMAC"):
        assert secret not in log
