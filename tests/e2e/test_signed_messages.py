"""Both families of signed messages on every route, bound to it; contract accounts; what newer clients ask besides."""

import json
import time

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY, SPARE_KEYS
from provider.testing.http_client import Reply, get_json, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.contract_account import deploy, owned_by
from tests.support.metadata_store import StoringPublisher
from tests.support.nonce_refusal import nonce_refusal
from tests.support.origin import CSV, Origin

INVALID = "Invalid signature provided. Please check the nonce or documentId."
KEY = SPARE_KEYS[9]
JSON = {"Content-Type": "application/json"}


def clock_nonce() -> str:
    return str(time.time_ns() // 1000)


def error_of(reply: Reply) -> object:
    assert reply.status == 400
    return reply.json()["errors"]["signature"]


class Client:
    """Signs any text and sends it with a request of any route."""

    def __init__(self, consumer: Consumer, bought: tuple[Published, str]) -> None:
        self.consumer = consumer
        self.address = consumer.address
        self.url = f"{consumer.provider_url}/api/services"
        self.asset, self.order_tx = bought

    def sign(self, text: str) -> str:
        return self.consumer.wallet.sign_text(text)

    def download(self, nonce: str, signature: str, address: str | None = None) -> Reply:
        parameters = {
            "documentId": self.asset.did,
            "serviceId": self.asset.service(0)["id"],
            "transferTxId": self.order_tx,
            "fileIndex": 0,
            "consumerAddress": address or self.address,
            "nonce": nonce,
            "signature": signature,
        }
        return request("GET", with_query(f"{self.url}/download", parameters))

    def decrypt(self, nonce: str, signature: str, address: str | None = None) -> Reply:
        value = {
            "transactionId": self.asset.publish_tx,
            "chainId": 8996,
            "decrypterAddress": address or self.address,
            "dataNftAddress": self.asset.data_nft,
            "signature": signature,
            "nonce": nonce,
        }
        return request("POST", f"{self.url}/decrypt", body=json.dumps(value).encode(), headers=JSON)

    def create(self, nonce: str, signature: str, address: str | None = None) -> Reply:
        parameters = {
            "address": address or self.address,
            "expiration": int(time.time()) + 600,
            "nonce": nonce,
            "signature": signature,
        }
        return request("GET", with_query(f"{self.url}/createAuthToken", parameters))

    def generate(self, nonce: str, signature: str, address: str | None = None) -> Reply:
        value = {"address": address or self.address, "nonce": nonce, "signature": signature}
        return request("POST", f"{self.url}/auth/token", body=json.dumps(value).encode(), headers=JSON)

    def old_text(self, route: str, address: str, nonce: str) -> str:
        return {
            "download": f"{self.asset.did}{nonce}",
            "decrypt": f"{self.asset.publish_tx}{address}8996{nonce}",
            "create": f"{address}{nonce}",
        }[route]


@pytest.fixture(scope="module")
def client(chain: DemoChain, server: DemoServer, publisher: StoringPublisher, origin: Origin) -> Client:
    consumer = Consumer(chain.wallet(KEY), server.url)
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    return Client(consumer, (asset, consumer.order(asset)))


COMMANDS = {
    "download": "download",
    "decrypt": "decryptDDO",
    "create": "createAuthToken",
    "generate": "createAuthToken",
}
ALL_COMMANDS = (
    *COMMANDS.values(),
    "encrypt",
    "startCompute",
    "freeStartCompute",
    "stopCompute",
    "getComputeStatus",
    "getComputeResult",
    "getComputeStreamableLogs",
    "invalidateAuthToken",
    "createLinks",
    "revokeLinks",
    "validateDDO",
)


@pytest.mark.parametrize("route", COMMANDS)
@pytest.mark.parametrize("family", ["old", "new"])
@pytest.mark.parametrize("sent", ["EIP-55", "lower case"])
@pytest.mark.parametrize("signed", ["EIP-55", "lower case"])
def test_every_route_takes_both_families_and_every_spelling(
    client: Client, route: str, family: str, sent: str, signed: str
) -> None:
    if (route, family) == ("generate", "old"):
        return
    spellings = {"EIP-55": client.address, "lower case": client.address.lower()}
    nonce = clock_nonce()
    new = f"{spellings[signed]}{nonce}{COMMANDS[route]}"
    text = new if family == "new" else client.old_text(route, spellings[signed], nonce)
    reply = getattr(client, route)(nonce, client.sign(text), spellings[sent])
    assert reply.status in (200, 201), reply.body


@pytest.mark.parametrize("route", COMMANDS)
def test_what_was_signed_for_another_command_is_refused_and_spends_nothing(client: Client, route: str) -> None:
    act = getattr(client, route)
    for command in set(ALL_COMMANDS) - {COMMANDS[route]}:
        nonce = clock_nonce()
        assert error_of(act(nonce, client.sign(f"{client.address}{nonce}{command}"))) == INVALID
        known = get_json(f"{client.url}/nonce", {"userAddress": client.address})["nonce"]
        assert int(known) < int(nonce)


@pytest.mark.parametrize("family", ["old", "new"])
def test_one_nonce_serves_once_over_routes_and_families(client: Client, family: str) -> None:
    nonce = clock_nonce()
    texts = {
        "new": f"{client.address}{nonce}download",
        "old": client.old_text("download", client.address, nonce),
    }
    signature = client.sign(texts[family])
    assert client.download(nonce, signature).body == CSV
    refusal = nonce_refusal(nonce, nonce)
    assert error_of(client.download(nonce, signature)) == refusal
    assert error_of(client.download(nonce, signature, client.address.lower())) == refusal
    for other in texts.values():
        assert error_of(client.download(nonce, client.sign(other))) == refusal
    assert error_of(client.decrypt(nonce, client.sign(f"{client.address}{nonce}decryptDDO"))) == refusal
    assert error_of(client.create(nonce, client.sign(f"{client.address}{nonce}"))) == refusal


def test_new_message_of_another_address_is_refused(client: Client) -> None:
    nonce = clock_nonce()
    stranger = EthAccount.from_key(SPARE_KEYS[6])
    for text in (f"{client.address}{nonce}download", f"{stranger.address}{nonce}download"):
        signature = stranger.sign_message(encode_defunct(primitive=keccak(text=text))).signature.hex()
        assert error_of(client.download(nonce, signature)) == INVALID


def test_hash_that_begins_with_a_zero_byte_is_taken_as_ocean_js_8_signs_it(client: Client) -> None:
    """It drops leading zeros: ethers' toBeArray. One download in 256 would fail."""
    start = int(clock_nonce())
    nonce = next(
        str(number)
        for number in range(start, start + 10_000)
        if not keccak(text=f"{client.address}{number}download")[0]
    )
    inner = keccak(text=f"{client.address}{nonce}download").lstrip(b"\0")
    signature = EthAccount.from_key(KEY).sign_message(encode_defunct(primitive=inner)).signature.hex()
    assert client.download(nonce, signature).status == 200


# Contract accounts


@pytest.fixture(scope="module")
def contract(chain: DemoChain, client: Client, publisher: StoringPublisher) -> Client:
    """The client's wallet contract, which an order was made for."""
    address = deploy(chain.wallet(PUBLISHER_KEY), owned_by(client.address))
    publisher.mint(client.asset.datatokens[0], client.address)
    order_tx = client.consumer.order(client.asset, consumer=address)
    owned = Client(client.consumer, (client.asset, order_tx))
    owned.address = address
    return owned


@pytest.mark.parametrize("route", COMMANDS)
def test_contract_account_is_who_its_contract_says(contract: Client, route: str) -> None:
    nonce = clock_nonce()
    signature = contract.sign(f"{contract.address}{nonce}{COMMANDS[route]}")
    reply = getattr(contract, route)(nonce, signature)
    assert reply.status in (200, 201), reply.body
    refusal = nonce_refusal(nonce, nonce)
    assert error_of(getattr(contract, route)(nonce, signature)) == refusal


def test_token_of_a_contract_account_serves_its_downloads(contract: Client) -> None:
    nonce = clock_nonce()
    token = contract.create(nonce, contract.sign(f"{contract.address}{nonce}")).json()["token"]
    url = with_query(
        f"{contract.url}/download",
        {
            "documentId": contract.asset.did,
            "serviceId": contract.asset.service(0)["id"],
            "transferTxId": contract.order_tx,
            "fileIndex": 0,
            "consumerAddress": contract.address,
        },
    )
    assert request("GET", url, headers={"Authorization": token}).body == CSV


def test_contract_account_with_a_strangers_signature_is_refused(contract: Client) -> None:
    nonce = clock_nonce()
    inner = keccak(text=f"{contract.address}{nonce}download")
    stranger = EthAccount.from_key(SPARE_KEYS[6]).sign_message(encode_defunct(primitive=inner)).signature.hex()
    assert error_of(contract.download(nonce, stranger)) == INVALID
    undeployed = "0x" + "5a" * 20
    signature = contract.sign(f"{undeployed}{nonce}download")
    assert error_of(contract.download(nonce, signature, undeployed)) == INVALID


def test_contract_accounts_can_be_switched_off(launch: LaunchServer, contract: Client) -> None:
    server = launch(PROVIDER_CONTRACT_ACCOUNTS="false")
    elsewhere = Client(Consumer(contract.consumer.wallet, server.url), (contract.asset, contract.order_tx))
    nonce = clock_nonce()
    signature = contract.sign(f"{contract.address}{nonce}download")
    assert error_of(elsewhere.download(nonce, signature, contract.address)) == INVALID


# What newer clients ask besides


def test_root_answers_old_and_new_clients(server: DemoServer) -> None:
    root = get_json(server.url)
    key = EthAccount.from_key(PROVIDER_KEY)
    assert root["providerAddress"] == root["providerAddresses"]["8996"] == key.address
    assert root["nodePublicKey"] == "0x" + key._key_obj.public_key.to_compressed_bytes().hex()
    endpoints = root["serviceEndpoints"]
    assert endpoints["generateAuthToken"] == ["POST", "/api/services/auth/token"]
    assert endpoints["invalidateAuthToken"] == ["POST", "/api/services/auth/token/invalidate"]
    assert endpoints["directCommand"] == ["POST", "/directCommand"]
    assert endpoints["create_auth_token"] == ["GET", "/api/services/createAuthToken"]
    assert endpoints["delete_auth_token"] == ["DELETE", "/api/services/deleteAuthToken"]
    assert len({name.lower() for name in endpoints}) == len(endpoints)


def test_root_is_the_same_with_the_content_type_that_ocean_js_8_sends(server: DemoServer) -> None:
    plain = request("GET", f"{server.url}/")
    assert request("GET", f"{server.url}/", headers=JSON).body == plain.body


def command(server: DemoServer, value: object) -> Reply:
    return request("POST", f"{server.url}/directCommand", body=json.dumps(value).encode(), headers=JSON)


def test_status_names_this_node_and_nothing_of_its_host(server: DemoServer) -> None:
    root, status = get_json(server.url), command(server, {"command": "status"}).json()
    assert (status["id"], status["address"], status["publicKey"]) == (
        root["nodeId"],
        root["providerAddress"],
        root["nodePublicKey"],
    )
    assert (status["http"], status["p2p"], status["version"]) == (True, False, root["version"])
    assert status["provider"] == [{"chainId": "8996", "network": "Ganache"}]
    assert status["uptime"] >= 0
    assert status["platform"] == {}


def test_status_names_the_kinds_of_file_that_are_served(server: DemoServer) -> None:
    """ocean-node spells one of them `arwave`."""
    kinds = {"url", "ipfs", "arweave", "arwave", "s3", "ftp", "graphql", "smartcontract"}
    assert command(server, {"command": "status"}).json()["supportedStorage"] == dict.fromkeys(kinds, True)


def test_nonce_command_tells_what_the_nonce_route_does(server: DemoServer, client: Client) -> None:
    told = get_json(f"{client.url}/nonce", {"userAddress": client.address})
    assert command(server, {"command": "nonce", "address": client.address}).json() == told
    assert command(server, {"command": "nonce", "address": "0x" + "0f" * 20}).json() == {"nonce": "1"}
    assert command(server, {"command": "nonce", "address": "nobody"}).status == 400


@pytest.mark.parametrize(
    "value", [{}, {"command": "download"}, {"command": "stopNode"}, {"command": ["status"]}, {"command": None}]
)
def test_other_commands_are_refused_in_json(server: DemoServer, value: object) -> None:
    reply = command(server, value)
    assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
    assert reply.json() == {"error": "Unsupported command: this server answers status and nonce here."}


def test_encrypt_takes_what_ocean_js_8_adds_to_its_query(client: Client) -> None:
    nonce = clock_nonce()
    signed = {
        "chainId": 8996,
        "nonce": nonce,
        "consumerAddress": client.address,
        "signature": client.sign(f"{client.address}{nonce}encrypt"),
    }
    before = get_json(f"{client.url}/nonce", {"userAddress": client.address})
    for more in (signed, {**signed, "signature": "nonsense"}):
        reply = request(
            "POST",
            with_query(f"{client.url}/encrypt", more),
            body=b'"text"',
            headers={"Content-Type": "application/octet-stream"},
        )
        assert (reply.status, reply.body[:2]) == (201, b"0x")
    assert get_json(f"{client.url}/nonce", {"userAddress": client.address}) == before
