"""ocean.js 3.4, unmodified, and compute-to-data; each test judges steps of one run of `ocean-js-3/compute.mjs`."""

import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoChain, launch_server
from tests.support.client_installs import Drive, drive_node, node_is_here
from tests.support.client_stage import CONSUMER_KEY, PUBLISHER_KEY
from tests.support.compute import FREE, ComputeClient
from tests.support.metadata_store import StoringPublisher, running_metadata_store
from tests.support.operator import OperatorService, Result, environment, running_operator
from tests.support.origin import CSV, Origin

if not node_is_here():
    pytest.skip("Node and npm are not here", allow_module_level=True)


def finish_jobs(operator: OperatorService, ended: threading.Event) -> None:
    """The cluster: every job that appears is done."""
    while not ended.wait(0.02):
        for job in list(operator.jobs.values()):
            if job.status != 70:
                operator.finish(job.job_id, Result("out.csv", "output", CSV))


def as_bought(asset: Published) -> dict[str, str]:
    """The facts that a consumer knows about an asset."""
    return {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "datatoken": asset.datatokens[0],
    }


@pytest.fixture(scope="module")
def drive(
    children: Children,
    chain: DemoChain,
    origin: Origin,
    installs: Mapping[str, Future[Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drive:
    """The run, with a Provider, a metadata store and an operator service of its own."""
    folder = tmp_path_factory.mktemp("ocean-js-3-compute")
    installed = installs["ocean-js-3"].result()
    free = {chain.contracts.chain_id: [environment(FREE)]}
    with running_metadata_store() as store, running_operator(free) as operator:
        settings = {"AQUARIUS_URL": store.url, "OPERATOR_SERVICE_URL": operator.url}
        server = launch_server(children, chain, folder, settings, name="ocean-js-3-compute")
        server.wait_ready()
        publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
        publisher.store = store
        buyer = Consumer(chain.wallet(CONSUMER_KEY), server.url)
        client = ComputeClient(chain, server, operator, publisher, buyer)
        dataset = client.dataset(f"{origin.url}/data.csv")
        algorithm = client.algorithm(f"{origin.url}/bytes/100")
        for asset in (dataset, algorithm):
            publisher.mint(asset.datatokens[0], buyer.address)
        stage = {
            "rpc": chain.url,
            "chainId": chain.contracts.chain_id,
            "provider": server.url,
            "addressFile": str(folder / "ocean-js-3-compute-address.json"),
            "consumerKey": CONSUMER_KEY,
            "dataset": as_bought(dataset),
            "algorithm": as_bought(algorithm),
        }
        ended = threading.Event()
        cluster = threading.Thread(target=finish_jobs, args=(operator, ended))
        cluster.start()
        try:
            return drive_node("ocean-js-3", installed, folder, stage, script="compute.mjs")
        finally:
            ended.set()
            cluster.join()


def test_the_environments_of_the_chain_are_listed(drive: Drive) -> None:
    [shown] = drive.value("getComputeEnvironments")["8996"]
    assert shown["id"] == FREE
    assert shown["feeToken"]


def test_every_part_of_a_job_is_quoted(drive: Drive) -> None:
    quote = drive.value("initializeCompute")
    assert [offer.keys() for offer in (*quote["datasets"], quote["algorithm"])] == [{"datatoken", "providerFee"}] * 2


def test_an_unknown_environment_reaches_the_caller_as_json(drive: Drive) -> None:
    assert json.loads(drive.error("initializeComputeElsewhere")) == {"error": "Compute environment does not exist"}


def test_a_job_starts_ends_and_leaves_its_result(drive: Drive) -> None:
    [job] = drive.value("computeStart")
    assert drive.value("computeStatus")["jobId"] == job["jobId"]
    result = drive.value("getComputeResultUrl")
    assert (result["status"], result["sha256"]) == (200, hashlib.sha256(CSV).hexdigest())


@pytest.mark.parametrize("step", ["computeStop", "computeDelete"])
def test_a_change_without_a_signed_nonce_is_refused_as_json(drive: Drive, step: str) -> None:
    assert json.loads(drive.error(step))["message"] == "Validation error"
    assert drive.value("end") == "reached"
