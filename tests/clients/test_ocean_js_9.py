"""The calls of ocean.js 9 in their exact forms (`ocean-node-compat.md` section 3): the library itself is not published.

It asks for no `serviceEndpoints`: the paths are its own, and the signed messages end in a command.
"""

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest

from provider.testing.chain.wallet import Wallet
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from tests.support.client_stage import CONSUMER_KEY, PUBLISHER_KEY, SetStage, Stage
from tests.support.origin import CSV

CSV_SHA256 = hashlib.sha256(CSV).hexdigest()


class OceanJs9:
    """One wallet's calls, path by path as the library writes them."""

    def __init__(self, wallet: Wallet, provider_url: str) -> None:
        self.wallet = wallet
        self.url = provider_url

    def get(self, path: str, parameters: dict[str, object], **headers: str) -> Reply:
        """GET with the header that the library always sends."""
        return request(
            "GET", with_query(self.url + path, parameters), headers={"Content-Type": "application/json", **headers}
        )

    def post(self, path: str, value: object) -> Reply:
        """POST of JSON."""
        body = json.dumps(value, separators=(",", ":")).encode()
        return request("POST", self.url + path, body=body, headers={"Content-Type": "application/json"})

    def nonce(self) -> str:
        """The number after the one that the Provider knows."""
        reply = self.get("/api/services/nonce", {"userAddress": self.wallet.address})
        return str(int(reply.json()["nonce"]) + 1)

    def signed(self, command: str) -> dict[str, str]:
        """Nonce and signature for a command."""
        nonce = self.nonce()
        return {"nonce": nonce, "signature": self.wallet.sign_text(f"{self.wallet.address}{nonce}{command}")}

    def token(self) -> str:
        """generateAuthToken: the message names the node too."""
        node = self.post("/directCommand", {"command": "status"}).json()["id"]
        asked = {"address": self.wallet.address, **self.signed(f"createAuthToken{node}")}
        reply = self.post("/api/services/auth/token", asked)
        assert reply.status == 200, reply.body
        return str(reply.json()["token"])


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Stage:
    """A Provider with an ocean-node's indexer behind it."""
    return set_stage("ocean-js-9", "ocean-node")


@pytest.fixture(scope="module")
def asset(stage: Stage) -> Published:
    """One access service of one file."""
    publisher = Publisher(stage.chain.wallet(PUBLISHER_KEY), stage.chain.contracts, stage.server.url)
    return publisher.publish([url_file(f"{stage.origin.url}/data.csv")])


@pytest.fixture(scope="module")
def order(stage: Stage, asset: Published) -> str:
    """Transaction with which the consumer bought it."""
    buyer = Consumer(stage.chain.wallet(CONSUMER_KEY), stage.server.url)
    Publisher(stage.chain.wallet(PUBLISHER_KEY), stage.chain.contracts, stage.server.url).mint(
        asset.datatokens[0], buyer.address
    )
    return buyer.order(asset)


@pytest.fixture
def client(stage: Stage) -> OceanJs9:
    """The consumer's library."""
    return OceanJs9(stage.chain.wallet(CONSUMER_KEY), stage.server.url)


def download_parameters(asset: Published, order: str, **more: str) -> dict[str, object]:
    """Query of getDownloadUrl."""
    return {
        "fileIndex": 0,
        "documentId": asset.did,
        "transferTxId": order,
        "serviceId": asset.service()["id"],
        **more,
    }


def test_encrypt_takes_the_signature_in_the_query(client: OceanJs9) -> None:
    query = {"chainId": 8996, **client.signed("encrypt"), "consumerAddress": client.wallet.address}
    reply = request(
        "POST",
        with_query(f"{client.url}/api/services/encrypt", query),
        body=b'"hello"',
        headers={"Content-Type": "application/octet-stream"},
    )
    assert 200 <= reply.status < 300
    assert reply.body.startswith(b"0x04")


def test_file_info_is_there_with_a_capital_letter(client: OceanJs9, asset: Published) -> None:
    asked = {"did": asset.did, "serviceId": asset.service()["id"], "checksum": True}
    [info] = client.post("/api/services/fileInfo", asked).json()
    assert (info["valid"], info["checksum"]) == (True, CSV_SHA256)


def test_initialize_takes_userdata_as_encoded_json(client: OceanJs9, asset: Published) -> None:
    userdata = quote(
        json.dumps({"colour": "grün 9"}, separators=(",", ":"), ensure_ascii=False), safe="():,!*'~;/?@&=+$#"
    )
    path = (
        f"/api/services/initialize?documentId={asset.did}&serviceId={asset.service()['id']}&fileIndex=0"
        f"&consumerAddress={client.wallet.address}&userdata={userdata}"
    )
    reply = request("GET", client.url + path, headers={"Content-Type": "application/json"})
    assert reply.status == 200, reply.body
    assert reply.json()["datatoken"] == asset.datatokens[0]


def test_a_download_signed_with_address_nonce_and_command_is_served_once(
    client: OceanJs9, asset: Published, order: str
) -> None:
    query = download_parameters(asset, order, consumerAddress=client.wallet.address, **client.signed("download"))
    reply = client.get("/api/services/download", query)
    assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, CSV_SHA256)
    again = client.get("/api/services/download", query)
    assert again.status == 400
    assert "errors" in again.json()


@pytest.mark.parametrize("command", ["encrypt", "decryptDDO", "createAuthToken", ""])
def test_a_signature_for_another_command_downloads_nothing(
    client: OceanJs9, asset: Published, order: str, command: str
) -> None:
    query = download_parameters(asset, order, consumerAddress=client.wallet.address, **client.signed(command))
    assert client.get("/api/services/download", query).status == 400


def test_a_token_needs_no_nonce_for_a_download_until_it_is_invalidated(
    client: OceanJs9, asset: Published, order: str
) -> None:
    token = client.token()
    query = download_parameters(asset, order, consumerAddress=client.wallet.address)
    reply = client.get("/api/services/download", query, Authorization=token)
    assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, CSV_SHA256)
    ended = {"address": client.wallet.address, "token": token, **client.signed("invalidateAuthToken")}
    assert client.post("/api/services/auth/token/invalidate", ended).json() == {"success": True}
    assert client.get("/api/services/download", query, Authorization=token).status == 400


def test_the_status_command_has_what_the_library_reads(client: OceanJs9) -> None:
    status = client.post("/directCommand", {"command": "status"}).json()
    assert {"id", "address", "version", "provider"} <= status.keys()


def test_the_nonce_command_and_the_nonce_route_agree(client: OceanJs9) -> None:
    told = client.post("/directCommand", {"command": "nonce", "address": client.wallet.address})
    value: Any = told.json()
    assert int(value["nonce"] if isinstance(value, dict) else value) + 1 == int(client.nonce())
