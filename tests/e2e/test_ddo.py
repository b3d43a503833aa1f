"""DDOs as a metadata store answers them, from the chain index and from a store, and their check before publishing."""

import hashlib
import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from web3.logs import DISCARD

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY
from provider.testing.child import Children, wait_until
from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Publisher, build_ddo, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.test_decrypt import clock_nonce
from tests.support.metadata_store import MetadataStore, StoringPublisher

DDO = "/api/aquarius/assets/ddo/"
METADATA = "/api/aquarius/assets/metadata/"
VALIDATE = DDO + "validate"
FILES = [url_file("http://127.0.0.1:9/data.csv")]
UNKNOWN = "did:op:" + "0" * 64


@pytest.fixture(scope="module")
def indexing(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> DemoServer:
    """A server without a metadata store."""
    settings = {"PROVIDER_INDEX_POLL_SECONDS": "0.1", "PROVIDER_CACHE_STATE_SECONDS": "0"}
    server = launch_server(children, chain, tmp_path_factory.mktemp("indexing"), settings, name="indexing")
    server.wait_ready()
    return server


@pytest.fixture(scope="module")
def restricted(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> DemoServer:
    """One that lets few decrypt."""
    settings = {"AUTHORIZED_DECRYPTERS_LIST": json.dumps({"8996": ["0x" + "11" * 20]})}
    server = launch_server(children, chain, tmp_path_factory.mktemp("restricted"), settings, name="restricted")
    server.wait_ready()
    return server


@pytest.fixture
def publisher(chain: DemoChain, indexing: DemoServer) -> Publisher:
    return Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, indexing.url)


def get(server: DemoServer, path: str) -> Reply:
    return request("GET", server.url + path)


def eventually(server: DemoServer, did: str, holds: Any) -> dict[str, Any]:
    """The DDO once `holds` is true of it: the server follows the chain."""
    found: dict[str, Any] = {}

    def come() -> bool:
        nonlocal found
        reply = get(server, DDO + did)
        found = reply.json() if reply.status == 200 else {}
        return bool(found) and holds(found)

    wait_until(come, server.child, timeout_seconds=60)
    return found


@pytest.mark.parametrize("prefix", [DDO, METADATA, "//" + DDO[1:]])
def test_the_ddo_of_a_published_asset_is_there_at_once(indexing: DemoServer, publisher: Publisher, prefix: str) -> None:
    asset = publisher.publish(FILES)
    reply = get(indexing, prefix + asset.did)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.headers["cache-control"] == "no-store"
    ddo = reply.json()
    assert {name: ddo[name] for name in asset.ddo} == asset.ddo
    assert ddo["indexedMetadata"]["nft"] == {"address": asset.data_nft, "state": 0, "owner": publisher.wallet.address}
    assert ddo["indexedMetadata"]["event"]["txid"] == asset.publish_tx
    assert ddo["datatokens"] == [{"address": asset.datatokens[0], "serviceId": asset.service()["id"]}]


def test_a_did_may_be_percent_encoded(indexing: DemoServer, publisher: Publisher) -> None:
    asset = publisher.publish(FILES)
    assert get(indexing, DDO + asset.did.replace(":", "%3A")).json()["id"] == asset.did


def test_an_update_is_there_with_its_transaction(indexing: DemoServer, publisher: Publisher) -> None:
    asset = publisher.publish(FILES)
    assert get(indexing, DDO + asset.did).status == 200
    document = json.dumps({**asset.ddo, "metadata": {**asset.ddo["metadata"], "name": "Another"}}).encode()
    tx = publisher.set_metadata(asset.data_nft, document)
    ddo = eventually(indexing, asset.did, lambda ddo: ddo["indexedMetadata"]["event"]["txid"] == tx)
    assert ddo["metadata"]["name"] == "Another"


def test_a_new_owner_is_seen(indexing: DemoServer, publisher: Publisher, chain: DemoChain, consumer: Consumer) -> None:
    asset = publisher.publish(FILES)
    nft = contract_at(chain.w3, "ERC721Template", asset.data_nft)
    assert get(indexing, DDO + asset.did).json()["nft"]["owner"] == publisher.wallet.address
    publisher.wallet.send(nft.functions.transferFrom(publisher.wallet.address, consumer.address, 1))
    eventually(indexing, asset.did, lambda ddo: ddo["indexedMetadata"]["nft"]["owner"] == consumer.address)


def test_every_state_is_told(indexing: DemoServer, publisher: Publisher) -> None:
    asset = publisher.publish(FILES)
    for state in (1, 2, 0, 3, 4, 5):
        version = "deprecated" if state in (2, 3) else "4.1.0"
        publisher.set_state(asset.data_nft, state)

        def told(ddo: dict[str, Any], state: int = state) -> bool:
            return bool(ddo["indexedMetadata"]["nft"]["state"] == state)

        ddo = eventually(indexing, asset.did, told)
        assert (ddo["id"], ddo["version"]) == (asset.did, version)
        assert ("services" in ddo) is (version == "4.1.0")


@pytest.mark.parametrize("did", [UNKNOWN, "did:op:x", "x", "", "did:op:%00", "..%2F..%2Fspec", UNKNOWN + "/true"])
def test_an_unknown_did_is_not_found(indexing: DemoServer, did: str) -> None:
    reply = get(indexing, DDO + did)
    assert (reply.status, reply.json()) == (404, {"error": "DDO not found"})


def test_other_methods_are_refused(indexing: DemoServer) -> None:
    for method, path in (("POST", DDO + UNKNOWN), ("GET", VALIDATE), ("PUT", VALIDATE)):
        assert request(method, indexing.url + path).status == 405
    assert request("POST", indexing.url + "/api/aquarius/assets/query", body=b"{}").status == 404


def test_a_document_of_another_key_is_not_there(indexing: DemoServer, publisher: Publisher) -> None:
    """As if it were encrypted by another Provider."""
    asset = publisher.publish(FILES)
    sealed = b"\x04" + bytes(200)
    publisher.set_raw_metadata(asset.data_nft, sealed, flags=b"\x02", state=0, document_hash=bytes(32))
    wait_until(lambda: get(indexing, DDO + asset.did).status == 404, indexing.child, timeout_seconds=60)


def test_what_is_encrypted_stays_with_those_who_may_decrypt(restricted: DemoServer, publisher: Publisher) -> None:
    sealed, clear = publisher.publish(FILES), publisher.publish(FILES, flags=0)
    refused = get(restricted, DDO + sealed.did)
    assert (refused.status, list(refused.json())) == (403, ["error"])
    assert get(restricted, DDO + clear.did).json()["id"] == clear.did


def test_a_large_document_comes_whole(indexing: DemoServer, publisher: Publisher) -> None:
    text = "\u20ac" * 200_000
    asset = publisher.publish(FILES, name="Large", flags=3, additional=text)
    assert get(indexing, DDO + asset.did).json()["additional"] == text


# With a metadata store


@pytest.mark.parametrize("shape", ["aquarius", "ocean-node"])
def test_a_stores_ddo_has_both_forms(server: DemoServer, stored: StoringPublisher, shape: str) -> None:
    asset = stored.publish(FILES, store_shape=shape)
    ddo = get(server, DDO + asset.did).json()
    for facts in (ddo, ddo["indexedMetadata"]):
        assert facts["nft"] == {"address": asset.data_nft, "state": 0, "owner": stored.wallet.address}
        assert facts["event"]["txid"] == asset.publish_tx
    assert ddo["datatokens"][0]["address"] == asset.datatokens[0]


@pytest.fixture
def stored(chain: DemoChain, server: DemoServer, metadata_store: MetadataStore) -> StoringPublisher:
    publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    publisher.store = metadata_store
    return publisher


def test_a_store_without_the_did_is_not_found(server: DemoServer) -> None:
    assert get(server, DDO + UNKNOWN).status == 404


def test_a_store_that_serves_another_asset_is_not_believed(
    server: DemoServer, stored: StoringPublisher, metadata_store: MetadataStore
) -> None:
    asset, other = stored.publish(FILES), stored.publish(FILES)
    metadata_store.documents[asset.did] = {**other.ddo, "nft": {"address": other.data_nft, "state": 0}}
    assert get(server, DDO + asset.did).status == 400


# The check of a DDO


def post(server: DemoServer, body: bytes, content_type: str = "application/json") -> Reply:
    return request("POST", server.url + VALIDATE, body=body, headers={"Content-Type": content_type})


def signed(publisher: Consumer, ddo: object, command: str = "validateDDO", **more: object) -> bytes:
    nonce = clock_nonce()
    signature = publisher.sign(f"{publisher.address}{nonce}{command}", "")
    proof = {"publisherAddress": publisher.address, "nonce": nonce, "signature": signature}
    return json.dumps({"ddo": ddo, **proof, **more}, separators=(",", ":")).encode()


def text_of(ddo: object) -> bytes:
    return json.dumps(ddo, separators=(",", ":")).encode()


@pytest.fixture
def ddo(publisher: Publisher) -> dict[str, Any]:
    data_nft, datatoken = publisher.create_nft()
    service = {"id": "s", "type": "access", "files": "0x04", "datatokenAddress": datatoken, "timeout": 0}
    services = [{**service, "serviceEndpoint": publisher.provider_url}]
    return build_ddo(data_nft, publisher.contracts.chain_id, services, version="4.7.0")


def test_a_signed_check_gives_a_proof_that_the_contract_takes(
    indexing: DemoServer, publisher: Publisher, consumer: Consumer, ddo: dict[str, Any], chain: DemoChain
) -> None:
    proof = post(indexing, signed(consumer, ddo)).json()
    digest = hashlib.sha256(text_of(ddo)).digest()
    provider = Account.from_key(PROVIDER_KEY).address
    assert (proof["hash"], proof["publicKey"]) == ("0x" + digest.hex(), provider)
    signature = bytes.fromhex(proof["r"][0][2:] + proof["s"][0][2:]) + bytes([proof["v"]])
    assert Account.recover_message(encode_defunct(primitive=digest), signature=signature) == provider
    nft = contract_at(chain.w3, "ERC721Template", ddo["nftAddress"])
    proofs = [(provider, proof["v"], proof["r"][0], proof["s"][0])]
    sealed = bytes.fromhex(publisher.encrypt(text_of(ddo))[2:])
    receipt = publisher.wallet.send(
        nft.functions.setMetaData(0, publisher.provider_url, "", b"\x02", sealed, digest, proofs)
    )
    (validated,) = nft.events.MetadataValidated().process_receipt(receipt, errors=DISCARD)
    assert validated["args"]["validator"] == provider
    assert get(indexing, DDO + ddo["id"]).json()["metadata"] == ddo["metadata"]


def test_a_signature_counts_once_and_for_this_command(
    indexing: DemoServer, consumer: Consumer, ddo: dict[str, Any]
) -> None:
    body = signed(consumer, ddo)
    assert [post(indexing, body).status for _ in range(2)] == [200, 400]
    refused = post(indexing, signed(consumer, ddo, "encrypt"))
    assert (refused.status, list(refused.json()["errors"])) == (400, ["signature"])
    assert post(indexing, signed(consumer, ddo, publisherAddress=PUBLISHER)).status == 400


PUBLISHER = Account.from_key(PUBLISHER_KEY).address


def test_the_forms_of_older_clients_need_no_signature(indexing: DemoServer, ddo: dict[str, Any]) -> None:
    expected = "0x" + hashlib.sha256(text_of(ddo)).hexdigest()
    assert post(indexing, text_of(ddo), "application/octet-stream").json()["hash"] == expected
    assert post(indexing, text_of({"ddo": ddo})).json()["hash"] == expected


def test_faults_are_told_by_field(indexing: DemoServer, consumer: Consumer, ddo: dict[str, Any]) -> None:
    ddo["metadata"].pop("author")
    for body in (text_of(ddo), signed(consumer, ddo)):
        refused = post(indexing, body)
        assert (refused.status, refused.json()["errors"].keys()) == (400, {"metadata.author"})


def test_a_chain_that_is_not_served_is_refused(indexing: DemoServer, publisher: Publisher) -> None:
    other = build_ddo(publisher.create_nft()[0], 1, [], version="4.7.0")
    assert "chain" in post(indexing, text_of(other)).json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"{}", b'{"ddo":1}'])
def test_other_bodies_are_refused(indexing: DemoServer, body: bytes) -> None:
    for content_type in ("application/json", "application/octet-stream"):
        assert post(indexing, body, content_type).status == 400


def test_a_large_ddo_is_checked(indexing: DemoServer, ddo: dict[str, Any]) -> None:
    large = text_of({**ddo, "more": "x" * 500_000})
    for content_type in ("application/json", "application/octet-stream"):
        assert post(indexing, large, content_type).json()["hash"] == "0x" + hashlib.sha256(large).hexdigest()
