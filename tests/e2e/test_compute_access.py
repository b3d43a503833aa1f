"""Roles and policies of compute jobs: what the operator's own services are asked, and that only a yes reaches the pods.

One server with an RBAC server, a policy server and an operator service; each test says what the first two answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from provider.testing.child import Children
from provider.testing.http_client import Reply
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import launch_server
from tests.support.answering_service import AnsweringService, running_service
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin

Json = dict[str, Any]
RBAC_BODY = {"errors": {"RBAC": ["RBAC Validation failed!"]}, "message": "Validation error", "success": False}


@dataclass
class Kept:
    """A consumer of the server that asks, both services, what was bought, and a job of it."""

    client: ComputeClient
    rbac: AnsweringService
    policy: AnsweringService
    main: Published
    more: Published
    algorithm: Published
    txs: list[str]
    job_id: str = ""

    def start(self, **more: object) -> Reply:
        """POST compute with two datasets and a published algorithm."""
        client = self.client
        return client.start(
            client.item(self.main, self.txs[0]),
            client.item(self.algorithm, self.txs[2]),
            environment=FREE,
            additionalDatasets=[client.item(self.more, self.txs[1])],
            **more,
        )

    def change(self, method: str) -> Reply:
        """PUT or DELETE of the job."""
        return self.client.change(method, job_id=self.job_id)


@pytest.fixture(scope="module")
def running(
    c2d: ComputeClient, children: Children, metadata_store: MetadataStore, origin: Origin, server_folder: Path
) -> Iterator[Kept]:
    """The server, everything bought and one job started."""
    main, more = c2d.dataset(f"{origin.url}/data.csv"), c2d.dataset(f"{origin.url}/data.csv", kind="access")
    algorithm = c2d.algorithm(f"{origin.url}/data.csv")
    txs = c2d.buy([main, more], algorithm, environment=FREE)
    with running_service() as rbac, running_service() as policy:
        settings = {
            "AQUARIUS_URL": metadata_store.url,
            "OPERATOR_SERVICE_URL": c2d.operator.url,
            "RBAC_SERVER_URL": rbac.url,
            "POLICY_SERVER_URL": policy.url,
        }
        own = launch_server(children, c2d.chain, server_folder, settings, name="compute-access")
        try:
            own.wait_ready()
            client = replace(c2d, server=own, consumer=Consumer(c2d.consumer.wallet, own.url))
            kept = Kept(client, rbac, policy, main, more, algorithm, txs)
            reply = kept.start()
            assert reply.status == 200, reply.body
            kept.job_id = reply.json()[0]["jobId"]
            yield kept
        finally:
            own.child.stop()


@pytest.fixture
def kept(running: Kept) -> Kept:
    """Both services say yes and were asked nothing; no job runs with the orders."""
    for service in (running.rbac, running.policy):
        service.answer(200, True)
    for job in running.client.operator.jobs.values():
        job.status = 70
    return running


def told_operator(kept: Kept) -> list[object]:
    """Everything about jobs that the operator was asked so far."""
    return [asked for asked in kept.client.operator.asked if asked[1] == "compute"]


def no(service: AnsweringService) -> None:
    """As each of the two says it."""
    service.answer(403, {"message": "Not for you."})


def broken(service: AnsweringService) -> None:
    """A yes in the body, but something is wrong."""
    service.answer(500, True)


def away(service: AnsweringService) -> None:
    """It drops the connection instead of an answer."""
    service.hang = True
    service.released.set()


def named(asset: Published) -> Json:
    """An asset's service as RBAC servers receive it."""
    return {"did": asset.did, "serviceId": asset.service()["id"]}


def test_rbac_server_is_told_of_everything_that_a_job_computes(kept: Kept) -> None:
    assert kept.start().status == 200
    (asked,) = kept.rbac.questions
    signature = asked.pop("signature")
    assert len(signature) == 132
    assert asked == {
        "eventType": "compute",
        "component": "provider",
        "providerAddress": kept.client.chain.wallet(kept.client.chain.provider_key).address,
        "providerAccess": "public",
        "credentials": {"type": "address", "value": kept.client.consumer.address},
        "dids": [named(kept.main)],
        "algos": [named(kept.algorithm)],
        "additionalDids": [named(kept.more)],
    }


def test_rbac_server_hears_of_no_algorithm_that_is_raw(kept: Kept) -> None:
    client = kept.client
    assert client.start(client.item(kept.main, kept.txs[0]), {"meta": RAW}, environment=FREE).status == 200
    (asked,) = kept.rbac.questions
    assert asked["dids"] == [named(kept.main)]
    assert not {"algos", "additionalDids"} & asked.keys()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_rbac_server_is_asked_about_stop_and_delete(kept: Kept, method: str) -> None:
    """[K36]: which assets the job is about only the operator knows."""
    assert kept.change(method).status == 200
    (asked,) = kept.rbac.questions
    assert (asked["eventType"], asked["dids"]) == ("compute", [])
    assert asked["credentials"] == {"type": "address", "value": kept.client.consumer.address}
    assert kept.policy.questions == []


@pytest.mark.parametrize(("answer", "status"), [(no, 400), (broken, 503), (away, 503)])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_without_a_yes_of_the_rbac_server_nothing_reaches_the_operator(
    kept: Kept, method: str, answer: Callable[[AnsweringService], None], status: int
) -> None:
    answer(kept.rbac)
    before = told_operator(kept)
    reply = kept.start() if method == "POST" else kept.change(method)
    assert reply.status == status, reply.body
    if status == 400:
        assert reply.json() == RBAC_BODY
    assert told_operator(kept) == before
    assert kept.policy.questions == []


def test_policy_server_is_asked_to_start_each_dataset_and_the_algorithm(kept: Kept) -> None:
    assert kept.start(policyServer={"sessionId": "s1"}).status == 200
    asked = kept.policy.questions
    assert {(one["documentId"], one["serviceId"]) for one in asked} == {
        (asset.did, asset.service()["id"]) for asset in (kept.main, kept.more, kept.algorithm)
    }
    assert [(one["action"], one["policyServer"]) for one in asked] == [("startCompute", {"sessionId": "s1"})] * 3
    assert {one["consumerAddress"] for one in asked} == {kept.client.consumer.address}
    assert all(one["ddo"]["id"] == one["documentId"] for one in asked)


@pytest.mark.parametrize(("answer", "status"), [(no, 403), (broken, 503), (away, 503)])
def test_without_a_yes_of_the_policy_server_nothing_reaches_the_operator(
    kept: Kept, answer: Callable[[AnsweringService], None], status: int
) -> None:
    answer(kept.policy)
    before = told_operator(kept)
    reply = kept.start()
    assert reply.status == status, reply.body
    if status == 403:
        assert reply.json()["error"].endswith("Not for you.")
    assert told_operator(kept) == before


def test_quotes_and_looks_ask_neither(kept: Kept) -> None:
    """A quote is no job yet; a look shows what anybody may see."""
    for service in (kept.rbac, kept.policy):
        no(service)
    client = kept.client
    assert client.quote([client.item(kept.main)], client.item(kept.algorithm), environment=FREE).status == 200
    assert client.status(jobId=kept.job_id).status == 200
    assert kept.rbac.questions == kept.policy.questions == []
