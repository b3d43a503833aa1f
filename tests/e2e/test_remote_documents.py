"""Ocean Enterprise: credentials that are stored on IPFS, from publishing to buying, and what may not be read."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from provider.assets.did import did_for
from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY
from provider.testing.child import Children, wait_until
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, files_document, service_entry, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_decrypt import clock_nonce
from tests.support.answering_service import running_service
from tests.support.chain import eciespy_encrypt
from tests.support.ipfs_gateway import IpfsGateway, running_ipfs_gateway
from tests.support.origin import CSV, Origin

CHAIN_ID = 8996
DDO = "/api/aquarius/assets/ddo/"
SIGNATURE = "c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def gateway() -> Iterator[IpfsGateway]:
    with running_ipfs_gateway() as running:
        yield running


@pytest.fixture(scope="module")
def node(
    children: Children, chain: DemoChain, gateway: IpfsGateway, tmp_path_factory: pytest.TempPathFactory
) -> DemoServer:
    """A server without a metadata store, with a gateway."""
    settings = {
        "IPFS_GATEWAY": gateway.url,
        "PROVIDER_INDEX_POLL_SECONDS": "0.1",
        "PROVIDER_METADATA_TIMEOUT_SECONDS": "2",
        "PROVIDER_MAX_DOCUMENT_BYTES": "100000",
    }
    started = launch_server(children, chain, tmp_path_factory.mktemp("enterprise"), settings, name="enterprise")
    started.wait_ready()
    return started


class Enterprise(Publisher):
    """Publishes as the marketplace of Ocean Enterprise does."""

    gateway: IpfsGateway

    def credential(self, files: list[dict[str, object]]) -> tuple[str, str, str]:
        """A JWT with a DDO 5 for a new data NFT: the JWT, the NFT, the datatoken."""
        data_nft, datatoken = self.create_nft()
        sealed = self.encrypt(files_document(data_nft, datatoken, files))
        ddo = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "id": did_for(data_nft, CHAIN_ID, prefix="did:ope:"),
            "type": ["VerifiableCredential"],
            "version": "5.0.0",
            "issuer": "did:jwk:eyJ",
            "credentialSubject": {
                "chainId": CHAIN_ID,
                "nftAddress": data_nft,
                "metadata": {
                    "type": "dataset",
                    "name": "Credential",
                    "created": "2026-01-01T00:00:00Z",
                    "updated": "2026-01-01T00:00:00Z",
                    "providedBy": "Somebody",
                },
                "services": [service_entry(datatoken, sealed, self.provider_url)],
            },
        }
        return jwt(ddo), data_nft, datatoken

    def stored(self, token: str, *, sealed: bool = True) -> bytes:
        """The envelope on IPFS: the JWT as hex of its JSON text, encrypted or in the clear."""
        inner = {"encryptedData": "0x" + json.dumps(token).encode().hex()}
        return compact({"encryptedData": self.encrypt(compact(inner))} if sealed else inner)

    def refer(self, data_nft: str, remote: object, document_hash: bytes, *, flags: bytes = b"\x02") -> str:
        """Write the stub on chain. Returns the transaction."""
        stub = compact({"remote": remote})
        data = bytes.fromhex(self.encrypt(stub)[2:]) if flags == b"\x02" else stub
        receipt = self.set_raw_metadata(data_nft, data, flags=flags, state=0, document_hash=document_hash)
        return "0x" + bytes(receipt["transactionHash"]).hex()

    def publish_credential(self, files: list[dict[str, object]], *, sealed: bool = True) -> tuple[str, str, str, str]:
        """All of it: the DID, the data NFT, the datatoken, the transaction."""
        token, data_nft, datatoken = self.credential(files)
        content = self.stored(token, sealed=sealed)
        tx = self.refer(data_nft, {"type": "ipfs", "hash": self.gateway.pin(content)}, sha256(content))
        return did_for(data_nft, CHAIN_ID, prefix="did:ope:"), data_nft, datatoken, tx


def compact(value: object) -> bytes:
    """As `JSON.stringify` writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def jwt(claims: object) -> str:
    parts = (compact({"alg": "ES256K", "typ": "JWT"}), compact(claims))
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), SIGNATURE])


@pytest.fixture
def publisher(chain: DemoChain, node: DemoServer, gateway: IpfsGateway) -> Enterprise:
    publisher = Enterprise(chain.wallet(PUBLISHER_KEY), chain.contracts, node.url)
    publisher.gateway = gateway
    return publisher


@pytest.fixture
def buyer(chain: DemoChain, node: DemoServer) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), node.url)


def get_ddo(node: DemoServer, did: str) -> Reply:
    return request("GET", node.url + DDO + did)


def decrypt(node: DemoServer, decrypter: Consumer, data_nft: str, **more: object) -> Reply:
    """As an indexer of Ocean Enterprise asks."""
    nonce = clock_nonce()
    body = {
        "decrypterAddress": decrypter.address,
        "chainId": CHAIN_ID,
        "dataNftAddress": data_nft,
        "signature": decrypter.sign(f"{decrypter.address}{nonce}decryptDDO", ""),
        "nonce": nonce,
        **more,
    }
    url = f"{node.url}/api/services/decrypt"
    return request("POST", url, body=compact(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("sealed", [True, False], ids=["encrypted", "clear"])
def test_a_credential_on_ipfs_is_indexed_bought_and_revoked(
    node: DemoServer, publisher: Enterprise, buyer: Consumer, origin: Origin, sealed: bool
) -> None:
    files = [url_file(f"{origin.url}/data.csv")]
    did, data_nft, datatoken, tx = publisher.publish_credential(files, sealed=sealed)
    ddo = get_ddo(node, did).json()
    assert (ddo["id"], ddo["version"]) == (did, "5.0.0")
    assert ddo["proof"]["header"] == {"alg": "ES256K", "typ": "JWT"}
    assert ddo["indexedMetadata"]["event"]["txid"] == tx
    assert ddo["credentialSubject"]["datatokens"][0]["address"] == datatoken
    publisher.mint(datatoken, buyer.address)
    service = ddo["credentialSubject"]["services"][0]
    url = download_url(buyer, did, service, order(buyer, did, service, datatoken))
    reply = request("GET", url)
    assert (reply.status, reply.body) == (200, CSV)
    publisher.set_state(data_nft, 3)
    wait_until(lambda: get_ddo(node, did).json()["version"] == "deprecated", node.child, timeout_seconds=60)
    assert request("GET", url).status == 400


def download_url(buyer: Consumer, did: str, service: dict[str, Any], order_tx: str, **more: str) -> str:
    """As ocean.js makes it."""
    nonce = clock_nonce()
    query = {
        "documentId": did,
        "serviceId": service["id"],
        "transferTxId": order_tx,
        "fileIndex": "0",
        "consumerAddress": buyer.address,
        "nonce": nonce,
        "signature": buyer.sign(f"{buyer.address}{nonce}download", ""),
        **more,
    }
    return with_query(f"{buyer.provider_url}/api/services/download", query)


def test_a_credential_is_bought_in_a_session_with_a_policy_server_and_revoked(
    chain: DemoChain, launch: LaunchServer, gateway: IpfsGateway, origin: Origin
) -> None:
    with running_service() as policy:
        node = launch(AQUARIUS_URL="", IPFS_GATEWAY=gateway.url, POLICY_SERVER_URL=policy.url)
        publisher = Enterprise(chain.wallet(PUBLISHER_KEY), chain.contracts, node.url)
        publisher.gateway = gateway
        buyer = Consumer(chain.wallet(CONSUMER_KEY), node.url)
        did, data_nft, datatoken, _ = publisher.publish_credential([url_file(f"{origin.url}/data.csv")])
        service = get_ddo(node, did).json()["credentialSubject"]["services"][0]
        policy.answer(200, {"success": True, "message": {"sessionId": "s1"}})
        session = begin_session(node, buyer, did, service["id"])["message"]
        asked = policy.questions[0]
        assert (asked["action"], asked["ddo"]["proof"]["signature"]) == ("initiate", SIGNATURE)
        publisher.mint(datatoken, buyer.address)
        order_tx = order(buyer, did, service, datatoken)
        policy.answer(200, b"")
        reply = request("GET", download_url(buyer, did, service, order_tx, policyServer=json.dumps(session)))
        assert (reply.status, reply.body) == (200, CSV)
        assert (policy.questions[0]["action"], policy.questions[0]["policyServer"]) == ("download", session)
        policy.answer(403, {"message": "The credential was revoked"})
        reply = request("GET", download_url(buyer, did, service, order_tx, policyServer=json.dumps(session)))
        assert (reply.status, reply.json()) == (403, {"error": "Provider Ganache: The credential was revoked"})
        policy.answer(200, b"")
        publisher.set_state(data_nft, 3)
        wait_until(lambda: get_ddo(node, did).json()["version"] == "deprecated", node.child, timeout_seconds=60)
        reply = request("GET", download_url(buyer, did, service, order_tx, policyServer=json.dumps(session)))
        assert (reply.status, list(reply.json())) == (400, ["error"])


def begin_session(node: DemoServer, buyer: Consumer, did: str, service_id: str) -> Any:
    nonce = clock_nonce()
    body = {
        "documentId": did,
        "serviceId": service_id,
        "consumerAddress": buyer.address,
        "policyServer": {"sessionId": "", "successRedirectUri": "", "errorRedirectUri": ""},
        "nonce": nonce,
        "signature": buyer.sign(f"{buyer.address}{nonce}PolicyServerInitialize", ""),
    }
    url = f"{node.url}/api/services/initializePSVerification"
    return request("POST", url, body=compact(body), headers={"Content-Type": "application/json"}).json()


def order(buyer: Consumer, did: str, service: dict[str, Any], datatoken: str) -> str:
    """Buy the service at the quoted fee."""
    query = {"documentId": did, "serviceId": service["id"], "consumerAddress": buyer.address}
    quote = request("GET", with_query(f"{buyer.provider_url}/api/services/initialize", query)).json()
    bought = Published(did, CHAIN_ID, "", (datatoken,), {}, b"", "")
    return buyer.order(bought, fee=quote["providerFee"])


def test_an_indexer_of_ocean_enterprise_reads_it_in_two_calls(
    node: DemoServer, publisher: Enterprise, stranger: Consumer
) -> None:
    did, data_nft, _, tx = publisher.publish_credential([url_file("http://127.0.0.1:9/")])
    first = decrypt(node, stranger, data_nft, transactionId=tx, flags=2, documentHash="0x" + "11" * 32)
    assert first.status == 201
    sealed = first.json()["encryptedData"]
    for more in ({"transactionId": ""}, {"transactionId": None, "documentHash": ""}):
        second = decrypt(node, stranger, data_nft, encryptedDocument=sealed, flags=2, **more)
        assert second.status == 201, second.body
        token = json.loads(bytes.fromhex(second.json()["encryptedData"][2:]))
        assert did in json.dumps(claims_of(token))


def claims_of(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_without_a_hash_nothing_but_a_credential_of_the_nft_is_opened(
    node: DemoServer, publisher: Enterprise, stranger: Consumer
) -> None:
    token, data_nft, datatoken = publisher.credential([url_file("http://127.0.0.1:9/secret")])
    other, other_nft, _ = publisher.credential([])
    files = files_document(data_nft, datatoken, [url_file("http://127.0.0.1:9/secret")])
    ddo = {"id": did_for(data_nft, CHAIN_ID), "chainId": CHAIN_ID, "nftAddress": data_nft, "services": []}
    secrets = [
        files,
        compact(ddo),
        other.encode(),
        compact({"vc": other}),
        compact({"remote": {"type": "ipfs"}}),
        b"text",
    ]

    def opened_without_hash(secret: bytes, nft: str = data_nft) -> Reply:
        sealed = {"transactionId": "", "encryptedDocument": eciespy_encrypt(secret), "flags": 2}
        return decrypt(node, stranger, nft, **sealed)

    refused = [opened_without_hash(secret) for secret in secrets]
    assert {(reply.status, reply.body) for reply in refused} == {(400, b'{"error":"Checksum doesn\'t match."}\n')}
    opened = opened_without_hash(token.encode())
    assert (opened.status, opened.body.decode()) == (201, token)
    assert opened_without_hash(token.encode(), other_nft).status == 400


def test_without_a_hash_the_other_fields_are_still_required(node: DemoServer, stranger: Consumer) -> None:
    for more, missing in (
        ({"transactionId": "", "encryptedDocument": "0x00"}, "flags"),
        ({"transactionId": "", "flags": 2}, "encryptedDocument"),
        ({"encryptedDocument": "0x00", "flags": 2}, "documentHash"),
    ):
        reply = decrypt(node, stranger, "0x" + "11" * 20, **more)
        assert reply.status == 400
        assert missing in reply.json()["errors"]


def test_content_with_another_hash_is_not_indexed(node: DemoServer, publisher: Enterprise) -> None:
    token, data_nft, _ = publisher.credential([])
    content = publisher.stored(token)
    remote = {"type": "ipfs", "hash": publisher.gateway.pin(content)}
    did = did_for(data_nft, CHAIN_ID, prefix="did:ope:")
    publisher.refer(data_nft, remote, bytes(32))
    assert get_ddo(node, did).status == 404
    # What is named by its content may be bound by the hash of its name. A gateway may lay JSON out anew.
    publisher.refer(data_nft, remote, sha256(compact({"remote": remote})))
    wait_until(lambda: get_ddo(node, did).status == 200, node.child, timeout_seconds=60)
    spread = json.dumps(json.loads(content), indent=2).encode()
    publisher.refer(data_nft, {"type": "IPFS", "hash": publisher.gateway.pin(spread)}, sha256(content))
    wait_until(lambda: get_ddo(node, did).status == 200, node.child, timeout_seconds=60)


def test_the_host_of_a_url_cannot_change_the_document(
    node: DemoServer, publisher: Enterprise, gateway: IpfsGateway
) -> None:
    token, data_nft, _ = publisher.credential([])
    content = publisher.stored(token, sealed=False)
    remote = {"type": "url", "url": f"{gateway.url}/ipfs/{gateway.pin(content)}", "method": "GET"}
    did = did_for(data_nft, CHAIN_ID, prefix="did:ope:")
    publisher.refer(data_nft, remote, sha256(compact({"remote": remote})))
    assert get_ddo(node, did).status == 404
    publisher.refer(data_nft, remote, sha256(content), flags=b"\x00")
    wait_until(lambda: get_ddo(node, did).status == 200, node.child, timeout_seconds=60)


def test_a_publisher_cannot_name_private_addresses(
    chain: DemoChain, launch: LaunchServer, gateway: IpfsGateway, stranger: Consumer
) -> None:
    """Only the operator can: the gateway of this server is on one."""
    guarded = launch(AQUARIUS_URL="", IPFS_GATEWAY=gateway.url, ALLOW_NON_PUBLIC_IP="false")
    publisher = Enterprise(chain.wallet(PUBLISHER_KEY), chain.contracts, guarded.url)
    publisher.gateway = gateway
    token, data_nft, _ = publisher.credential([])
    content = publisher.stored(token)
    cid = gateway.pin(content)
    inside = {"type": "url", "url": f"{gateway.url}/ipfs/{cid}", "method": "GET"}
    gateway.asked.clear()
    tx = publisher.refer(data_nft, inside, sha256(content))
    did = did_for(data_nft, CHAIN_ID, prefix="did:ope:")
    assert decrypt(guarded, stranger, data_nft, transactionId=tx).status == 400
    assert get_ddo(guarded, did).status == 400
    assert gateway.asked == []
    tx = publisher.refer(data_nft, {"type": "ipfs", "hash": cid}, sha256(content))
    assert decrypt(guarded, stranger, data_nft, transactionId=tx).body == content


def test_a_credential_of_another_nft_is_refused(node: DemoServer, publisher: Enterprise) -> None:
    token, _, _ = publisher.credential([])
    _, data_nft, _ = publisher.credential([])
    content = publisher.stored(token)
    publisher.refer(data_nft, {"type": "ipfs", "hash": publisher.gateway.pin(content)}, sha256(content))
    assert get_ddo(node, did_for(data_nft, CHAIN_ID, prefix="did:ope:")).status == 400


@pytest.mark.parametrize(
    "remote",
    [
        {"type": "ipfs", "hash": "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"type": "ipfs", "hash": "../../admin"},
        {"type": "smartcontract", "address": "0x" + "11" * 20, "abi": {}},
        {"type": "nodePersistentStorage", "bucketId": "b"},
        {"type": "source", "source": "s", "path": "p"},
        {"type": "url", "url": "file:///etc/passwd"},
        {},
    ],
    ids=["unknown", "path", "contract", "bucket", "source", "file", "nothing"],
)
def test_a_stub_that_leads_nowhere_is_told(
    node: DemoServer, publisher: Enterprise, stranger: Consumer, remote: dict[str, object]
) -> None:
    _, data_nft, _ = publisher.credential([])
    tx = publisher.refer(data_nft, remote, bytes(32))
    assert decrypt(node, stranger, data_nft, transactionId=tx).status == 400
    assert get_ddo(node, did_for(data_nft, CHAIN_ID, prefix="did:ope:")).status in (400, 404)


def test_a_document_over_the_limit_is_not_read(node: DemoServer, publisher: Enterprise, stranger: Consumer) -> None:
    _, data_nft, _ = publisher.credential([])
    content = compact({"encryptedData": "0x" + "00" * 100_000})
    tx = publisher.refer(data_nft, {"type": "ipfs", "hash": publisher.gateway.pin(content)}, sha256(content))
    assert decrypt(node, stranger, data_nft, transactionId=tx).status == 400
    assert get_ddo(node, did_for(data_nft, CHAIN_ID, prefix="did:ope:")).status == 400
