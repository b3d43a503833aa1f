"""Our side of the operator's wire against the checking stand-in, and the stand-in's own checks."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from provider.app.compute import result_origin
from provider.cache import FactCache
from provider.chain.networks import Network, Networks
from provider.compute.environments import Environments
from provider.compute.operator import Operator
from provider.config.load import load_settings
from provider.crypto.accounts import Account
from provider.crypto.signature import sign_message
from provider.errors import EnvironmentsUnavailable, EnvironmentUnknown, OperatorUnavailable, UpstreamUnreachable
from provider.outgoing.sessions import Outgoing
from provider.testing.http_client import Reply, request, with_query
from provider.testing.ports import free_ports
from provider.upstream.config import UpstreamConfig
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.source import HttpRequest
from tests.support.http_sources import OK, read_all
from tests.support.operator import (
    ENVIRONMENT_ADDRESS,
    OperatorService,
    Result,
    environment,
    running_operator,
)
from tests.support.raw_origin import Exchange, raw_origin

ACCOUNT = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
OWNER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
TOKEN = "0x" + "aa" * 20
SETTINGS = {"NETWORK_URL": "http://127.0.0.1:9", "PROVIDER_PRIVATE_KEY": "0x" + "01" * 32}
WORKFLOW = {
    "stages": [{"index": 0, "input": [{"id": "did:op:1"}], "compute": {}, "algorithm": {"id": ""}, "output": {}}]
}


@pytest.fixture
def service() -> Iterator[OperatorService]:
    with running_operator({1: [environment("env1", price="0.5")], 2: [environment("env2")]}) as running:
        yield running


def connect(url: str, **more: Any) -> Operator:
    return Operator(url, account=ACCOUNT, address=ACCOUNT.address, timeout_seconds=60, **more)


async def start(operator: Operator, agreement: str = "0x01", **more: Any) -> Any:
    fields = {"owner": OWNER, "agreement_id": agreement, "environment": "env1", "end": 5, "chain_id": 1, **more}
    return await operator.start(more.pop("workflow", WORKFLOW), **{k: v for k, v in fields.items() if k != "workflow"})


def networks() -> Networks:
    first = Network(1, "one", None, None, TOKEN, ACCOUNT)  # type: ignore[arg-type] - no chain is asked
    return Networks({1: first, 2: replace(first, chain_id=2, name="two")})


# Our side


def test_signature_is_the_documented_one() -> None:
    """`provider-api.md` section 18."""
    text = f"{OWNER}j11700000000000000000"
    assert sign_message(ACCOUNT, text).hex() == (
        "495fa55a98edc3f5e42a2f73ba4b04e6eeb0a85b2204ace406391d4ba7dacfe5"
        "0cf43eabbadae36ef8080abe9755e036ddcfaea4b101fc213cdef53e5aefabda00"
    )


@pytest.mark.gen_test(timeout=20)
async def test_job_is_started_watched_stopped_and_deleted(service: OperatorService) -> None:
    operator = connect(service.url)
    started = await start(operator)
    (job,) = started.json()
    assert (started.status, job["owner"], job["statusText"]) == (200, OWNER, "Warming up")
    for method, job_id in (("GET", job["jobId"]), ("PUT", job["jobId"]), ("GET", "")):
        reply = await operator.jobs(method, owner=OWNER, job_id=job_id, document_id="")
        assert [one["jobId"] for one in reply.json()] == [job["jobId"]]
    deleted = await operator.jobs("DELETE", owner=OWNER, job_id=job["jobId"], document_id="")
    assert (deleted.status, deleted.body) == (200, b'""')
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_nonces_rise_even_when_the_clock_stands(service: OperatorService) -> None:
    operator = connect(service.url, clock_ns=lambda: 1)
    for _ in range(3):
        assert (await operator.jobs("GET", owner=OWNER, job_id="", document_id="")).status == 200
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_result_is_read_as_a_stream(service: OperatorService) -> None:
    operator = connect(service.url)
    origin = HttpOrigin(UpstreamConfig(allow_non_public_ip=True), max_redirects=0)
    job_id = (await start(operator)).json()[0]["jobId"]
    service.finish(job_id, Result("a.csv", "output", b"0123456789"))
    wanted = operator.result(
        owner=OWNER, job_id=job_id, index="0", consumer_signature="0x12", asked=(("Range", "bytes=2-4"),)
    )
    assert "0x12" not in repr(wanted)
    async with origin.opened(wanted) as source:
        buffer = memoryview(bytearray(100))
        count = await source.read_into(buffer)
    assert (source.status, bytes(buffer[:count])) == (206, b"234")
    origin.close()
    await operator.close()


@pytest.mark.parametrize("path", ["", "/", "/base/path", "/base/path/"])
@pytest.mark.gen_test(timeout=20)
async def test_base_path_is_kept_with_and_without_slash(service: OperatorService, path: str) -> None:
    operator = connect(service.url.rstrip("/") + path)
    reply = await operator.jobs("GET", owner=OWNER, job_id="", document_id="")
    assert reply.status == (404 if "base" in path else 200)
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_refused_connection_is_unavailable_and_names_no_host(service: OperatorService) -> None:
    (port,) = free_ports(1)
    operator = connect(f"http://user:planted@127.0.0.1:{port}/planted")
    with pytest.raises(OperatorUnavailable) as failure:
        await start(operator)
    assert "planted" not in f"{failure.value} {failure.value.detail}"
    assert str(port) not in f"{failure.value} {failure.value.detail}"
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_start_that_was_sent_is_never_sent_again() -> None:
    """[K38]: the service reads the request and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        operator = connect(f"http://127.0.0.1:{listener.getsockname()[1]}")
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        accepted: list[socket.socket] = []

        async def hang_up() -> None:
            while True:
                connection, _ = await loop.sock_accept(listener)
                accepted.append(connection)
                await loop.sock_recv(connection, 65536)
                connection.close()

        serving = asyncio.create_task(hang_up())
        calls = {
            "POST": lambda: start(operator),
            "PUT": lambda: operator.jobs("PUT", owner=OWNER, job_id="1", document_id=""),
            "GET": lambda: operator.jobs("GET", owner=OWNER, job_id="1", document_id=""),
        }
        for method, call in calls.items():
            accepted.clear()
            with pytest.raises(OperatorUnavailable):
                await call()
            assert len(accepted) == 1, method
        serving.cancel()
        await asyncio.wait([serving])
        await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_result_that_was_asked_for_is_never_asked_for_again() -> None:
    """[K38]: the service answers the first request, keeps its connection, reads another and hangs up."""

    async def answer_once(exchange: Exchange) -> bool:
        if len(served.exchanges) == 1:
            await exchange.send(OK)
            return True
        return False

    async with raw_origin(answer_once) as served:
        operator, origin = connect(served.url), result_origin(load_settings(SETTINGS), Outgoing())

        def wanted() -> HttpRequest:
            return operator.result(owner=OWNER, job_id="1", index="0", consumer_signature="0x")

        async with origin.opened(wanted()) as source:
            assert await read_all(source) == b"ok"
        with pytest.raises(UpstreamUnreachable):
            await origin.open(wanted())
        assert len(served.exchanges) == 2
        assert origin.idle_connections == 0
        origin.close()
        await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_operator_that_says_nothing_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        operator = Operator(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            account=ACCOUNT,
            address=ACCOUNT.address,
            timeout_seconds=0.2,
        )
        with pytest.raises(OperatorUnavailable):
            await start(operator)
        await operator.close()


# Environments


def make(operator: Operator | None, *, ttl_seconds: float = 60.0) -> Environments:
    return Environments(operator, networks(), cache=FactCache(name="e", max_entries=10, ttl_seconds=ttl_seconds))


@pytest.mark.gen_test(timeout=20)
async def test_one_broken_chain_does_not_spoil_the_others(service: OperatorService) -> None:
    """[K39]"""
    operator = connect(service.url)
    environments = make(operator)
    service.broken_chains = {2}
    listing = await environments.listing()
    assert [one["id"] for one in listing["1"]] == ["env1"]  # type: ignore[index]
    assert listing["2"] == []
    assert (await environments.find("env1")).chain_id == 1
    with pytest.raises(OperatorUnavailable):
        await environments.find("env2")
    service.broken_chains = set()
    assert (await environments.find("env2")).chain_id == 2
    with pytest.raises(EnvironmentUnknown):
        await environments.find("env3")
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_lists_are_kept_and_failures_are_not(service: OperatorService) -> None:
    operator = connect(service.url)
    environments = make(operator)
    service.broken_chains = {1, 2}
    with pytest.raises(EnvironmentsUnavailable, match="for chainId 1, check"):
        await environments.listing()
    service.broken_chains = set()
    for _ in range(3):
        await environments.listing()
    assert len(service.asked) == 4
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_address_of_an_environment_is_known_without_asking(service: OperatorService) -> None:
    operator = connect(service.url)
    environments = make(operator, ttl_seconds=0.0)
    assert not environments.knows(ENVIRONMENT_ADDRESS)
    assert await environments.is_consumer(ENVIRONMENT_ADDRESS)
    assert environments.knows(ENVIRONMENT_ADDRESS)
    assert not await environments.is_consumer(OWNER)
    service.broken_chains = {1, 2}
    assert await environments.is_consumer(ENVIRONMENT_ADDRESS)
    with pytest.raises(OperatorUnavailable):
        await environments.is_consumer(OWNER)
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_same_environment_on_two_chains_is_taken_from_the_one_asked_for(service: OperatorService) -> None:
    service.environments[2] = [environment("env1", price="7")]
    operator = connect(service.url)
    environments = make(operator)
    assert (await environments.find("env1")).chain_id == 1
    assert (await environments.find("env1", chain_id=2)).chain_id == 2
    service.environments[2] = []
    with pytest.raises(EnvironmentUnknown):
        await make(operator).find("env1", chain_id=2)
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_environment_without_a_price_cannot_be_ordered(service: OperatorService) -> None:
    service.environments[1] = [environment("env1", price="cheap")]
    operator = connect(service.url)
    environments = make(operator)
    with pytest.raises(EnvironmentUnknown):
        await environments.find("env1")
    assert [one["id"] for one in (await environments.listing())["1"]] == ["env1"]  # type: ignore[index]
    await operator.close()


@pytest.mark.gen_test(timeout=20)
async def test_without_an_operator_there_are_no_environments() -> None:
    environments = make(None)
    environments.follow(1.0)
    with pytest.raises(EnvironmentUnknown):
        await environments.find("env1")
    assert not await environments.is_consumer(ENVIRONMENT_ADDRESS)
    await environments.close()


# The stand-in


def body(**change: object) -> dict[str, Any]:
    nonce = time.time_ns()
    return {
        "workflow": WORKFLOW,
        "agreementId": "0x01",
        "owner": OWNER,
        "environment": "env1",
        "providerAddress": ACCOUNT.address,
        "nonce": nonce,
        "providerSignature": "0x" + sign_message(ACCOUNT, f"{OWNER}{nonce}").hex(),
        **change,
    }


def post(service: OperatorService, value: object) -> Reply:
    return request("POST", f"{service.url}api/v1/operator/compute", body=json.dumps(value).encode())


def get(service: OperatorService, path: str, message: str, **fields: object) -> Reply:
    nonce = time.time_ns()
    signature = "0x" + sign_message(ACCOUNT, f"{message}{nonce}").hex()
    given = {"providerSignature": signature, "nonce": nonce, **fields}
    return request("GET", with_query(f"{service.url}api/v1/operator/{path}", given))


@pytest.mark.parametrize("key", ["workflow", "agreementId", "owner", "providerSignature", "environment", "nonce"])
def test_stand_in_demands_each_key(service: OperatorService, key: str) -> None:
    reply = post(service, {name: value for name, value in body().items() if name != key})
    assert (reply.status, key in reply.error_text()) == (400, True)


STAGE = WORKFLOW["stages"][0]
CUT_STAGES = [[{name: value for name, value in STAGE.items() if name != key}] for key in STAGE if key != "index"]


@pytest.mark.parametrize("stages", [[], [STAGE, STAGE], [{}], *CUT_STAGES])
def test_stand_in_takes_exactly_one_whole_stage(service: OperatorService, stages: object) -> None:
    assert post(service, body(workflow={"stages": stages})).status == 400


def test_stand_in_demands_ids_that_are_text(service: OperatorService) -> None:
    stage = {**STAGE, "algorithm": {"id": None}}
    assert post(service, body(workflow={"stages": [stage]})).error_text() == "id is not a text"


def test_stand_in_checks_signature_and_nonce(service: OperatorService) -> None:
    good = body()
    assert post(service, {**good, "owner": "0x" + "12" * 20}).status == 401
    assert post(service, {**good, "providerSignature": "0x12"}).status == 401
    assert post(service, good).status == 200
    assert post(service, {**good, "agreementId": "0x02"}).error_text() == "Invalid nonce"


def test_stand_in_refuses_unknown_environments(service: OperatorService) -> None:
    assert post(service, body(environment="nowhere")).error_text() == "Environment invalid or not found"


def test_stand_in_refuses_an_agreement_in_use(service: OperatorService) -> None:
    job_id = post(service, body()).json()[0]["jobId"]
    assert post(service, body()).error_text() == "`agreementId` already in use for other job."
    service.finish(job_id)
    assert post(service, body()).status == 200


def test_stand_in_knows_whose_results_are_asked_for(service: OperatorService) -> None:
    job_id = post(service, body()).json()[0]["jobId"]
    told = []
    for owner, index in ((OWNER, 0), (OWNER, 0), ("0x12", 0), (OWNER, 1), (OWNER, -1)):
        reply = get(service, "getResult", f"{owner}{job_id}", owner=owner, jobId=job_id, index=index)
        told.append((reply.status, reply.body if reply.status == 200 else reply.error_text()))
        service.finish(job_id, Result("a", "output", b"bytes"))
    assert told == [
        (404, f"No results for job {job_id}"),
        (200, b"bytes"),
        (404, f"Owner 0x12 mismatch for job {job_id}"),
        (404, "No such index 1 in this compute job"),
        (404, "Negative index -1"),
    ]


def test_stand_in_stops_all_jobs_of_an_owner_when_none_is_named(service: OperatorService) -> None:
    for agreement in ("0x01", "0x02"):
        post(service, body(agreementId=agreement))
    nonce = time.time_ns()
    fields = {
        "owner": OWNER,
        "nonce": nonce,
        "providerSignature": "0x" + sign_message(ACCOUNT, f"{OWNER}{nonce}").hex(),
    }
    request("PUT", with_query(f"{service.url}api/v1/operator/compute", fields))
    assert [job.stopped for job in service.jobs.values()] == [True, True]


def test_stand_in_serves_a_result_of_any_size(service: OperatorService) -> None:
    job_id = post(service, body()).json()[0]["jobId"]
    service.finish(job_id, Result("a", "output", size_bytes=3_000_000))
    reply = get(service, "getResult", f"{OWNER}{job_id}", owner=OWNER, jobId=job_id, index=0)
    assert len(reply.body) == 3_000_000
