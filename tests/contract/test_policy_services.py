"""RBAC and policy servers over real sockets: what they are asked, and that only a clear yes passes."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import did_for
from provider.cache import FactCache
from provider.chain.networks import Network, Networks
from provider.crypto.accounts import Account
from provider.errors import PolicyRefused, PolicyServerUnavailable, RbacRefused, RbacUnavailable, RouteNotFound
from provider.policy.access_lists import AccessLists
from provider.policy.config import AccessConfig
from provider.policy.gate import DOWNLOAD, Gate
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacQuestion, RbacServer, Subject
from provider.testing.chain.keys import PROVIDER_KEY
from tests.support.answering_service import AnsweringService, running_service

ACCOUNT = Account.from_hex(PROVIDER_KEY)
USER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
QUESTION = RbacQuestion("access", USER, (Subject("did:op:a", "s"),))
DDO = {
    "id": did_for(NFT, 1),
    "version": "4.1.0",
    "chainId": 1,
    "nftAddress": NFT,
    "metadata": {"type": "dataset"},
    "services": [{"id": "s", "type": "access", "files": "0x", "datatokenAddress": NFT, "timeout": 0}],
}
LONG = b"x" * 100_000


@pytest.fixture
def service() -> Iterator[AnsweringService]:
    with running_service() as running:
        yield running


@asynccontextmanager
async def rbac(service: AnsweringService, *, timeout_seconds: float = 5.0) -> AsyncIterator[RbacServer]:
    server = RbacServer(service.url, AccessConfig(is_private=True, timeout_seconds=timeout_seconds), account=ACCOUNT)
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def policy(
    service: AnsweringService, *, timeout_seconds: float = 5.0, api_key: str | None = None
) -> AsyncIterator[PolicyServer]:
    server = PolicyServer(service.url, AccessConfig(policy_api_key=api_key, timeout_seconds=timeout_seconds))
    try:
        yield server
    finally:
        await server.close()


async def ask(server: PolicyServer, data: object = None) -> None:
    asset: Asset = parse_ddo(DDO, keep_document=True)
    await server.check_service("download", asset, asset.services[0], USER, provider=ACCOUNT.address, data=data)


@pytest.mark.gen_test(timeout=20)
async def test_rbac_answer_that_is_true_lets_pass(service: AnsweringService) -> None:
    service.answer(200, True)
    async with rbac(service) as server:
        await server.check(QUESTION)
    (asked,) = service.questions
    assert (asked["eventType"], asked["providerAccess"]) == ("access", "private")
    assert asked["dids"] == [{"did": "did:op:a", "serviceId": "s"}]


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (200, False, RbacRefused),
        (200, None, RbacRefused),
        (200, {}, RbacRefused),
        (200, "", RbacRefused),
        (200, [], RbacRefused),
        (200, 0, RbacRefused),
        (200, "false", RbacUnavailable),
        (200, "true", RbacUnavailable),
        (200, 1, RbacUnavailable),
        (200, {"allowed": False}, RbacUnavailable),
        (200, {"allowed": True}, RbacUnavailable),
        (200, {"error": "denied"}, RbacUnavailable),
        (200, [0], RbacUnavailable),
        (200, [True], RbacUnavailable),
        (201, True, RbacUnavailable),
        (201, False, RbacRefused),
        (204, b"", RbacUnavailable),
        (403, True, RbacRefused),
        (401, True, RbacRefused),
        (404, True, RbacUnavailable),
        (500, True, RbacUnavailable),
        (302, True, RbacUnavailable),
        (200, b"yes", RbacUnavailable),
        (200, b"", RbacUnavailable),
        (200, LONG, RbacUnavailable),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.gen_test(timeout=20)
async def test_every_other_rbac_answer_keeps_out(
    service: AnsweringService, status: int, body: object, refusal: type[Exception]
) -> None:
    service.answer(status, body)
    async with rbac(service) as server:
        with pytest.raises(refusal):
            await server.check(QUESTION)


@pytest.mark.gen_test(timeout=20)
async def test_rbac_server_that_is_slow_or_away_keeps_out(service: AnsweringService) -> None:
    service.hang = True
    async with rbac(service, timeout_seconds=0.2) as server:
        with pytest.raises(RbacUnavailable) as caught:
            await server.check(QUESTION)
        assert service.url not in f"{caught.value}{caught.value.detail}"
    away = AnsweringService("http://127.0.0.1:1")
    async with rbac(away) as server:
        with pytest.raises(RbacUnavailable):
            await server.check(QUESTION)


@pytest.mark.gen_test(timeout=20)
async def test_policy_server_is_asked_as_ocean_node_asks_it(service: AnsweringService) -> None:
    service.answer(200, b"", content_type="text/plain")
    async with policy(service, api_key="planted-key") as server:
        await ask(server, '{"sessionId": "planted"}')
        await server.check_encrypt(USER, provider=ACCOUNT.address, data=None)
    assert service.questions == [
        {
            "action": "download",
            "documentId": DDO["id"],
            "ddo": DDO,
            "serviceId": "s",
            "consumerAddress": USER,
            "policyServer": {"sessionId": "planted"},
            "nodeAddress": ACCOUNT.address,
        },
        {"action": "encrypt", "consumerAddress": USER, "policyServer": None, "nodeAddress": ACCOUNT.address},
    ]
    assert [headers["x-api-key"] for headers in service.headers] == ["planted-key"] * 2


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404, 405], ids=str)
@pytest.mark.gen_test(timeout=20)
async def test_only_status_200_of_the_policy_server_lets_pass(service: AnsweringService, status: int) -> None:
    service.answer(status, b"" if status == 204 else b"Show your badge.", content_type="text/plain")
    async with policy(service) as server:
        with pytest.raises(PolicyRefused) as caught:
            await ask(server)
    text = "The policy server refused access." if status == 204 else "Show your badge."
    assert (str(caught.value), caught.value.http_status) == (text, 403)
    assert "x-api-key" not in service.headers[0]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "text/plain"),
        (b"", ""),
        (b"OK", "text/plain"),
        (b"true", "application/json"),
        (b"{}", "application/json"),
        (b'{"success": true, "message": "", "httpStatus": 200}', "application/json"),
        (b'{"error": null, "message": "welcome"}', "application/json"),
    ],
    ids=str,
)
@pytest.mark.gen_test(timeout=20)
async def test_body_that_agrees_with_status_200_lets_pass(
    service: AnsweringService, body: bytes, content_type: str
) -> None:
    service.answer(200, body, content_type=content_type)
    async with policy(service) as server:
        await ask(server)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"false", "The policy server refused access."),
        (b'{"error": "denied"}', "denied"),
        (b'{"errors": ["denied"]}', "The policy server refused access."),
        (b'{"allowed": false, "message": "Show your badge."}', "Show your badge."),
        (b'{"success": false}', "The policy server refused access."),
    ],
    ids=str,
)
@pytest.mark.gen_test(timeout=20)
async def test_body_that_refuses_is_no_yes_whatever_the_status(
    service: AnsweringService, body: bytes, text: str
) -> None:
    service.answer(200, body)
    async with policy(service) as server:
        with pytest.raises(PolicyRefused) as caught:
            await ask(server)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!doctype html><title>Log in</title>", "text/html; charset=utf-8"),
        (b"\n <html>", "text/plain"),
        (b"please log in", "text/html"),
    ],
    ids=str,
)
@pytest.mark.gen_test(timeout=20)
async def test_page_in_place_of_the_policy_server_is_no_yes(
    service: AnsweringService, body: bytes, content_type: str
) -> None:
    service.answer(200, body, content_type=content_type)
    async with policy(service) as server:
        with pytest.raises(PolicyServerUnavailable):
            await ask(server)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "x"), (503, "x"), (302, "x"), (408, "x"), (429, "x"), (400, LONG)],
    ids=lambda value: str(value)[:9],
)
@pytest.mark.gen_test(timeout=20)
async def test_policy_server_that_cannot_answer_keeps_out(service: AnsweringService, status: int, body: object) -> None:
    service.answer(status, body)
    async with policy(service) as server:
        with pytest.raises(PolicyServerUnavailable):
            await ask(server)


@pytest.mark.gen_test(timeout=20)
async def test_policy_server_that_is_slow_or_away_keeps_out(service: AnsweringService) -> None:
    service.hang = True
    async with policy(service, timeout_seconds=0.2, api_key="planted-key") as server:
        with pytest.raises(PolicyServerUnavailable) as caught:
            await ask(server, json.dumps({"sessionId": "planted"}))
        assert "planted" not in f"{caught.value}{caught.value.detail}{server!r}"
    async with policy(AnsweringService("http://127.0.0.1:1")) as server:
        with pytest.raises(PolicyServerUnavailable):
            await ask(server)


NETWORK = cast(Network, SimpleNamespace(account=ACCOUNT))


def gate_of(*, rbac: RbacServer | None = None, policy: PolicyServer | None = None) -> Gate:
    cache = FactCache[Any, Any](name="x", max_entries=5, ttl_seconds=5)
    return Gate(AccessLists(Networks({}), cache=cache), rbac=rbac, policy=policy)


@pytest.mark.gen_test(timeout=20)
async def test_the_gate_asks_for_the_role_of_a_consumer_and_of_a_job(service: AnsweringService) -> None:
    dataset, algorithm = Subject("did:op:a", "s"), Subject("did:op:b", "t")
    async with rbac(service) as server:
        gate = gate_of(rbac=server)
        assert gate.asks_servers
        service.answer(200, True)
        await gate.ask_role("initialize", USER, dataset.did, dataset.service_id)
        await gate.ask_role_for_compute(USER, datasets=(dataset,), algorithms=(algorithm,))
        assert [asked["eventType"] for asked in service.questions] == ["initialize", "compute"]
        assert service.questions[1]["algos"] == [{"did": "did:op:b", "serviceId": "t"}]
        service.answer(200, False)
        with pytest.raises(RbacRefused):
            await gate.ask_role_for_compute(USER)


@pytest.mark.gen_test(timeout=20)
async def test_the_gate_asks_the_policy_server_about_services_and_encryption(service: AnsweringService) -> None:
    asset = parse_ddo({**DDO, "nft": {"address": NFT}}, keep_document=True)
    server = PolicyServer(service.url, AccessConfig())
    gate = gate_of(policy=server)
    assert (gate.asks_servers, gate.has_sessions) == (True, True)
    service.answer(200, {"success": True})
    await gate.admit(NETWORK, asset, asset.services[0], USER, action=DOWNLOAD)
    await gate.admit_encryption(NETWORK, USER)
    assert [asked["action"] for asked in service.questions] == ["download", "encrypt"]
    service.answer(403, {"message": "no"})
    with pytest.raises(PolicyRefused):
        await gate.admit(NETWORK, asset, asset.services[0], USER, action=DOWNLOAD)
    with pytest.raises(PolicyRefused):
        await gate.admit_encryption(NETWORK, USER)
    await gate.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_session_begins_with_the_answer_of_the_policy_server_and_only_with_json(
    service: AnsweringService,
) -> None:
    asset = parse_ddo({**DDO, "nft": {"address": NFT}}, keep_document=True)
    gate = gate_of(policy=PolicyServer(service.url, AccessConfig()))
    service.answer(200, {"sessionId": "x"})
    begun = await gate.begin_session(NETWORK, asset, asset.services[0], USER, policy_data={"a": 1})
    assert json.loads(begun) == {"sessionId": "x"}
    (asked,) = service.questions
    assert (asked["action"], asked["consumerAddress"], asked["policyServer"]) == ("initiate", USER, {"a": 1})
    service.answer(200, b"soon", content_type="text/plain")
    with pytest.raises(PolicyServerUnavailable):
        await gate.begin_session(NETWORK, asset, asset.services[0], USER, policy_data=None)
    await gate.close()


@pytest.mark.gen_test(timeout=20)
async def test_without_servers_there_is_no_session_to_begin_and_nothing_to_close() -> None:
    asset = parse_ddo({**DDO, "nft": {"address": NFT}}, keep_document=True)
    gate = gate_of()
    assert (gate.asks_servers, gate.has_sessions) == (False, False)
    with pytest.raises(RouteNotFound):
        await gate.begin_session(NETWORK, asset, asset.services[0], USER, policy_data=None)
    await gate.close()
