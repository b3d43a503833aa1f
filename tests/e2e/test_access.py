"""Access rules over HTTP: access lists, RBAC and policy servers, declared parameters, containers, DDO 5."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.access_list import deploy_access_list
from tests.support.answering_service import AnsweringService, running_service
from tests.support.links import links
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, wait_until

RBAC_BODY = {"errors": {"RBAC": ["RBAC Validation failed!"]}, "message": "Validation error", "success": False}


@pytest.fixture
def service() -> Iterator[AnsweringService]:
    with running_service() as running:
        yield running


def initialize(server: DemoServer, asset: Published, consumer: Consumer, **more: object) -> Reply:
    parameters = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": consumer.address,
        **more,
    }
    return request("GET", with_query(f"{server.url}/api/services/initialize", parameters))


def fileinfo(server: DemoServer, named: Mapping[str, object], **more: object) -> Reply:
    body = json.dumps({**named, **more}).encode()
    return request(
        "POST", f"{server.url}/api/services/fileinfo", body=body, headers={"Content-Type": "application/json"}
    )


def download(server: DemoServer, bought: tuple[Published, str], consumer: Consumer, **more: Any) -> Reply:
    own = Consumer(consumer.wallet, server.url)
    return request("GET", own.download_url(*bought, **more))


def denied(reply: Reply, asset: Published, code: str) -> bool:
    text = f"Provider Ganache: Error: Access to asset {asset.did} was denied with code: ConsumableCodes.{code}."
    assert (reply.status, reply.json()) == (400, {"error": text})
    return True


# Access lists


def test_access_list_admits_its_members_only(
    chain: DemoChain,
    server: DemoServer,
    consumer: Consumer,
    stranger: Consumer,
    publisher: StoringPublisher,
    origin: Origin,
) -> None:
    members = deploy_access_list(chain.wallet(PUBLISHER_KEY), consumer.address)
    entry = {"type": "accessList", "chainId": chain.contracts.chain_id, "accessList": members.address}
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], version="4.7.0", credentials={"allow": [entry]})
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=stranger.address)
    assert initialize(server, asset, consumer).status == 200
    assert denied(initialize(server, asset, stranger), asset, "CREDENTIAL_NOT_IN_ALLOW_LIST")
    assert download(server, (asset, tx), consumer).body == CSV
    assert denied(download(server, (asset, tx), stranger), asset, "CREDENTIAL_NOT_IN_ALLOW_LIST")


@pytest.mark.parametrize(
    ("kind", "code"), [("allow", "CREDENTIAL_NOT_IN_ALLOW_LIST"), ("deny", "CREDENTIAL_IN_DENY_LIST")]
)
def test_access_list_of_an_unknown_chain_keeps_out(
    server: DemoServer, consumer: Consumer, publisher: StoringPublisher, origin: Origin, kind: str, code: str
) -> None:
    entry = {"type": "accessList", "chainId": 137, "accessList": consumer.address}
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], credentials={kind: [entry]})
    assert denied(initialize(server, asset, consumer), asset, code)


def test_service_has_credentials_of_its_own(
    server: DemoServer,
    metadata_store: MetadataStore,
    consumer: Consumer,
    stranger: Consumer,
    publisher: StoringPublisher,
    origin: Origin,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    entry = {"type": "address", "values": [stranger.address]}
    metadata_store.documents[asset.did]["services"][0]["credentials"] = {"deny": [entry]}
    assert initialize(server, asset, consumer).status == 200
    assert denied(initialize(server, asset, stranger), asset, "CREDENTIAL_IN_DENY_LIST")


# RBAC


def test_rbac_server_decides_about_quotes_and_downloads(
    launch: LaunchServer,
    service: AnsweringService,
    sell: Sell,
    origin: Origin,
    consumer: Consumer,
) -> None:
    bought = sell(url_file(f"{origin.url}/data.csv"))
    server = launch(RBAC_SERVER_URL=service.url, PROVIDER_ACCESS_TIMEOUT_SECONDS="0.5")
    assert initialize(server, bought[0], consumer).status == 200
    assert download(server, bought, consumer).body == CSV
    assert [(asked["eventType"], asked["providerAccess"]) for asked in service.questions] == [
        ("initialize", "public"),
        ("access", "public"),
    ]
    assert {asked["credentials"]["value"] for asked in service.questions} == {consumer.address}
    seen = len(origin.requests("/data.csv"))
    service.answer(200, False)
    for reply in (initialize(server, bought[0], consumer), download(server, bought, consumer)):
        assert (reply.status, reply.json()) == (400, RBAC_BODY)
    service.answer(500, True)
    assert initialize(server, bought[0], consumer).status == 503
    service.hang = True
    unavailable = download(server, bought, consumer)
    assert (unavailable.status, unavailable.headers["retry-after"]) == (503, "5")
    assert service.url not in unavailable.body.decode()
    assert len(origin.requests("/data.csv")) == seen


def test_signature_comes_before_the_role(
    launch: LaunchServer, service: AnsweringService, bought: tuple[Published, str], consumer: Consumer
) -> None:
    server = launch(RBAC_SERVER_URL=service.url, PRIVATE_PROVIDER="1")
    assert download(server, bought, consumer, signature="0x" + "11" * 65).status == 400
    assert service.questions == []
    assert initialize(server, bought[0], consumer).status == 200
    assert service.questions[0]["providerAccess"] == "private"


# Policy server


def test_policy_server_decides_in_place_of_credentials(
    launch: LaunchServer,
    service: AnsweringService,
    sell: Sell,
    metadata_store: MetadataStore,
    origin: Origin,
    consumer: Consumer,
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    document = metadata_store.documents[asset.did]
    document["credentials"] = {"allow": [{"type": "verifiableCredential", "requestCredentials": []}]}
    server = launch(
        POLICY_SERVER_URL=service.url, POLICY_SERVER_API_KEY="planted", PROVIDER_ACCESS_TIMEOUT_SECONDS="0.5"
    )
    assert initialize(server, asset, consumer).status == 200
    assert service.questions == []
    session = json.dumps({"sessionId": "s1"})
    assert download(server, (asset, tx), consumer, policyServer=session).body == CSV
    (asked,) = service.questions
    assert (asked["action"], asked["policyServer"], asked["ddo"]) == ("download", {"sessionId": "s1"}, document)
    assert service.headers[0]["x-api-key"] == "planted"

    service.answer(403, {"message": "Show your badge at https://inside.example/x"})
    refused = download(server, (asset, tx), consumer)
    text = "Provider Ganache: Show your badge at (not shown)"
    assert (refused.status, refused.json()) == (403, {"error": text})
    service.hang = True
    assert download(server, (asset, tx), consumer).status == 503


def test_a_link_asks_rbac_and_policy_server_when_it_is_made_and_not_per_range(
    launch: LaunchServer, service: AnsweringService, bought: tuple[Published, str], consumer: Consumer
) -> None:
    names = {"RBAC_SERVER_URL": service.url, "POLICY_SERVER_URL": service.url}
    remembering, asking = launch(**names), launch(**names, PROVIDER_LINK_POLICY_SECONDS="0")
    (file, _) = links(Consumer(consumer.wallet, remembering.url), *bought, policyServer={"sessionId": "s1"})
    asked = len(service.questions)
    assert [request("GET", file["url"]).status for _ in range(5)] == [200] * 5
    assert (asked, len(service.questions)) == (2, 2)
    path = urlsplit(file["url"]).path
    assert request("GET", asking.url + path).body == CSV
    assert service.questions[-1]["policyServer"] == {"sessionId": "s1"}
    service.answer(200, False)
    assert request("GET", asking.url + path).status == 400
    assert request("GET", file["url"]).status == 200


def test_policy_server_hears_of_documents_on_chain_and_of_encryption(
    chain: DemoChain,
    launch: LaunchServer,
    service: AnsweringService,
    bought: tuple[Published, str],
    consumer: Consumer,
) -> None:
    server = launch(AQUARIUS_URL="", POLICY_SERVER_URL=service.url)
    assert download(server, bought, consumer).body == CSV
    facts = {
        "nft": {"address": bought[0].data_nft, "state": 0},
        "event": {"tx": bought[0].publish_tx, "txid": bought[0].publish_tx, "contract": bought[0].data_nft},
    }
    assert service.questions.pop()["ddo"] == {**bought[0].ddo, **facts}
    parameters = {"chainId": chain.contracts.chain_id, "consumerAddress": consumer.address, "policyServer": "p"}

    def encrypt() -> Reply:
        url = with_query(f"{server.url}/api/services/encrypt", parameters)
        return request("POST", url, body=b"x", headers={"Content-Type": "application/octet-stream"})

    assert encrypt().body.startswith(b"0x04")
    (asked,) = service.questions
    assert (asked["action"], asked["consumerAddress"], asked["policyServer"]) == ("encrypt", consumer.address, "p")
    service.answer(401, b"", content_type="text/plain")
    assert (encrypt().status, encrypt().json()) == (403, {"error": "The policy server refused access."})


def begin_session(server: DemoServer, consumer: Consumer, asset: Published, **more: object) -> Reply:
    """As ocean.js 9 begins a session with the policy server."""
    nonce = str(time.time_ns() // 1000)
    command = more.pop("command", "PolicyServerInitialize")
    body = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": consumer.address,
        "policyServer": {"sessionId": "", "successRedirectUri": "https://market.example/ok"},
        "nonce": nonce,
        "signature": consumer.sign(f"{consumer.address}{nonce}{command}", ""),
        **more,
    }
    url = f"{server.url}/api/services/initializePSVerification"
    return request("POST", url, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def test_a_session_with_the_policy_server_begins_with_a_signature(
    launch: LaunchServer, service: AnsweringService, bought: tuple[Published, str], consumer: Consumer
) -> None:
    server = launch(POLICY_SERVER_URL=service.url)
    endpoints = request("GET", f"{server.url}/").json()["serviceEndpoints"]
    assert endpoints["initializePSVerification"] == ["POST", "/api/services/initializePSVerification"]
    answer = {"success": False, "message": {"redirectUri": "openid4vp://x", "sessionId": "s7"}}
    service.answer(200, answer)
    begun = begin_session(server, consumer, bought[0])
    assert (begun.status, begun.json()) == (200, answer)
    (asked,) = service.questions
    assert (asked["action"], asked["consumerAddress"]) == ("initiate", consumer.address)
    assert asked["policyServer"] == {"sessionId": "", "successRedirectUri": "https://market.example/ok"}
    assert asked["ddo"]["id"] == bought[0].did
    service.answer(200, True)
    assert download(server, bought, consumer, policyServer=json.dumps({"sessionId": "s7"})).body == CSV
    assert service.questions[0]["policyServer"] == {"sessionId": "s7"}


def test_nobody_begins_a_session_for_another_or_without_a_policy_server(
    launch: LaunchServer,
    server: DemoServer,
    service: AnsweringService,
    bought: tuple[Published, str],
    consumer: Consumer,
    stranger: Consumer,
) -> None:
    asking = launch(POLICY_SERVER_URL=service.url)
    assert begin_session(asking, consumer, bought[0], consumerAddress=stranger.address).status == 400
    assert begin_session(asking, consumer, bought[0], command="download").status == 400
    assert begin_session(asking, consumer, bought[0], policyServer=None).status == 400
    assert begin_session(asking, consumer, bought[0], serviceId="none").status == 400
    assert service.questions == []
    service.answer(403, {"message": "No wallet"})
    assert begin_session(asking, consumer, bought[0]).json() == {"error": "Provider Ganache: No wallet"}
    service.answer(200, b"<html>", content_type="text/html")
    assert begin_session(asking, consumer, bought[0]).status == 503
    service.answer(200, b"yes", content_type="text/plain")
    assert begin_session(asking, consumer, bought[0]).status == 503
    assert begin_session(server, consumer, bought[0]).status == 404
    assert "initializePSVerification" not in request("GET", f"{server.url}/").json()["serviceEndpoints"]


# Declared parameters


def test_declared_parameters_are_checked(
    server: DemoServer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    origin: Origin,
    consumer: Consumer,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    metadata_store.documents[asset.did]["services"][0]["consumerParameters"] = [
        {"name": "age", "type": "number", "required": True, "default": 0}
    ]
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset)
    good, bad = json.dumps({"age": 7}), json.dumps({"age": "seven", "more": 1})
    assert download(server, (asset, tx), consumer, userdata=good).body == CSV
    assert origin.requests("/data.csv")[-1].query == {"age": ["7"]}
    asked = len(origin.requests("/data.csv"))
    by_did = {"did": asset.did, "serviceId": asset.service()["id"]}
    for reply in (
        download(server, (asset, tx), consumer, userdata=bad),
        initialize(server, asset, consumer, fileIndex=0, userdata=bad),
        initialize(server, asset, consumer, userdata=bad),
        initialize(server, asset, consumer, transferTxId=tx, userdata=bad),
        fileinfo(server, by_did, userdata=json.loads(bad)),
        fileinfo(server, by_did, userdata=bad),
    ):
        assert reply.status == 400
        assert reply.json()["errors"] == {
            "userdata.age": ["The userdata.age must be a number."],
            "userdata.more": ["This parameter is not declared by the publisher."],
        }
    missing = {"userdata.age": ["The userdata.age field is required."]}
    assert download(server, (asset, tx), consumer).json()["errors"] == missing
    assert len(origin.requests("/data.csv")) == asked
    # Markets ask for a quote before their users fill the form.
    for asks in ({}, {"fileIndex": 0}, {"userdata": "{}"}, {"userdata": good}):
        assert initialize(server, asset, consumer, **asks).status == 200
    for userdata in (None, {}, {"age": 7}):
        assert fileinfo(server, by_did, userdata=userdata).json()[0]["valid"] is True
    assert origin.requests("/data.csv")[-1].query == {"age": ["7"]}
    # A file that is sent along has no publisher who could have declared anything.
    assert fileinfo(server, url_file(f"{origin.url}/data.csv"), userdata={"more": 1}).json()[0]["valid"] is True


# Containers


def post_container(server: DemoServer, body: bytes) -> Reply:
    headers = {"Content-Type": "application/json"}
    return request("POST", f"{server.url}/api/services/validateContainer", body=body, headers=headers)


def test_good_container_comes_back(server: DemoServer) -> None:
    container = {"entrypoint": "node $ALGO", "image": "node", "checksum": "sha256:82", "tag": None, "n": 2**80}
    reply = post_container(server, json.dumps(container).encode())
    assert (reply.status, reply.json()) == (200, container)
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{}", 400, "missing_entrypoint_image_checksum"),
        (b"{broken", 400, "missing_entrypoint_image_checksum"),
        (b'{"entrypoint":"e","image":"i","checksum":"82"}', 400, "checksum_prefix"),
        (b'{"entrypoint":"e","image":"i","checksum":"sha256:1","x":"%s"}' % (b"x" * 70_000), 413, None),
        (b"[]", 400, None),
    ],
    ids=["empty", "broken", "prefix", "long", "list"],
)
def test_bad_container_is_refused(server: DemoServer, body: bytes, status: int, text: str | None) -> None:
    reply = post_container(server, body)
    assert reply.status == status
    assert text is None or reply.json() == {"error": text}


# DDO 5


def test_asset_of_version_5_is_sold_and_served(
    server: DemoServer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    consumer: Consumer,
    stranger: Consumer,
    origin: Origin,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    subject_keys = ("metadata", "services", "chainId", "nftAddress")
    did = asset.did.replace("did:op:", "did:ope:")
    subject = {key: asset.ddo[key] for key in subject_keys}
    subject["credentials"] = [{}, {"deny": [{"type": "address", "values": [{"address": stranger.address}]}]}]
    metadata_store.documents[did] = {
        "id": did,
        "version": "5.0.0",
        "type": ["VerifiableCredential"],
        "issuer": "did:jwk:x",
        "credentialSubject": subject,
        "indexedMetadata": {"nft": {"address": asset.data_nft, "state": 0, "owner": publisher.wallet.address}},
    }
    five = Published(did, asset.chain_id, asset.data_nft, asset.datatokens, asset.ddo, asset.document, asset.publish_tx)
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(five, consumer=stranger.address)
    assert download(server, (five, tx), consumer).body == CSV
    assert denied(download(server, (five, tx), stranger), five, "CREDENTIAL_IN_DENY_LIST")


def test_keys_of_services_are_in_no_log(launch: LaunchServer, service: AnsweringService, consumer: Consumer) -> None:
    server = launch(
        RBAC_SERVER_URL=service.url + "/planted", POLICY_SERVER_URL="http://127.0.0.1:1/planted",
        POLICY_SERVER_API_KEY="planted", LOG_LEVEL="DEBUG",
    )  # fmt: skip
    service.answer(500, True)
    url = with_query(f"{server.url}/api/services/encrypt", {"chainId": 8996})
    assert request("POST", url, body=b"x", headers={"Content-Type": "application/octet-stream"}).status == 503
    own = Consumer(consumer.wallet, server.url)
    parameters = {"documentId": "did:op:" + "0" * 64, "serviceId": "s", "consumerAddress": own.address}
    assert request("GET", with_query(f"{server.url}/api/services/initialize", parameters)).status == 503
    wait_until(lambda: "rbac_unavailable" in server.child.stderr_tail())
    tail = server.child.stderr_tail()
    assert "policy_server_unavailable" in tail
    assert "planted" not in tail
    assert PROVIDER_KEY not in tail
