"""ocean.js 8.6, unmodified, and compute-to-data with one URL; each test judges steps of one run of `compute.mjs`."""

import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.stage import DemoChain, launch_server
from tests.support.client_installs import Drive, drive_node, node_is_here
from tests.support.client_stage import describe
from tests.support.compute import FREE
from tests.support.operator import OperatorService, Result, environment, running_operator
from tests.support.origin import CSV, Origin

if not node_is_here():
    pytest.skip("Node and npm are not here", allow_module_level=True)


@dataclass(frozen=True)
class Run:
    """The report, and what the operator service was sent to start the job."""

    drive: Drive
    operator: OperatorService


def finish_jobs(operator: OperatorService, ended: threading.Event) -> None:
    """What the cluster does: every job that appears is done."""
    while not ended.wait(0.02):
        for job in list(operator.jobs.values()):
            if job.status != 70:
                operator.finish(job.job_id, Result("out.csv", "output", CSV))


@pytest.fixture(scope="module")
def run(
    children: Children,
    chain: DemoChain,
    origin: Origin,
    installs: Mapping[str, Future[Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The run, with an operator service and no metadata store."""
    folder = tmp_path_factory.mktemp("ocean-js-8-compute")
    installed = installs["ocean-js-8"].result()
    with running_operator({chain.contracts.chain_id: [environment(FREE)]}) as operator:
        settings = {"OPERATOR_SERVICE_URL": operator.url, "PROVIDER_INDEX_POLL_SECONDS": "0.2"}
        server = launch_server(children, chain, folder, settings, name="ocean-js-8-compute")
        server.wait_ready()
        ended = threading.Event()
        cluster = threading.Thread(target=finish_jobs, args=(operator, ended))
        cluster.start()
        try:
            stage = describe(folder, chain, server, origin)
            drive = drive_node("ocean-js-8", installed, folder, stage, script="compute.mjs")
        finally:
            ended.set()
            cluster.join()
        return Run(drive, operator)


@pytest.fixture
def drive(run: Run) -> Drive:
    return run.drive


def test_the_driver_comes_to_its_end(drive: Drive) -> None:
    assert drive.value("end") == "reached"


def test_the_environments_are_listed_by_chain(drive: Drive) -> None:
    [shown] = drive.value("getComputeEnvironments")["8996"]
    assert shown["id"] == FREE


def test_every_part_of_a_job_is_quoted(drive: Drive) -> None:
    quote = drive.value("initializeCompute")
    assert [offer.keys() for offer in (*quote["datasets"], quote["algorithm"])] == [{"datatoken", "providerFee"}] * 3
    assert "The compute.validUntil field is required." in drive.error("initializeComputeWithoutTime")


def test_a_job_runs_on_all_its_datasets(run: Run) -> None:
    [job] = run.drive.value("computeStart")
    stage = run.operator.last_start()["workflow"]["stages"][0]
    named = [run.drive.value(name)["id"] for name in ("firstDataset", "secondDataset")]
    assert [item["id"] for item in stage["input"]] == named
    assert run.drive.value("computeStatus")["jobId"] == job["jobId"]


def test_the_result_of_a_job_is_fetched(drive: Drive) -> None:
    result = drive.value("getComputeResultUrl")
    assert (result["status"], result["sha256"]) == (200, hashlib.sha256(CSV).hexdigest())


def test_a_job_is_stopped(run: Run) -> None:
    [job] = run.drive.value("computeStop")
    assert job["jobId"] == run.drive.value("computeStart")[0]["jobId"]
    assert any((method, path) == ("PUT", "compute") for method, path, _ in run.operator.asked)


def test_what_an_operator_service_lacks_is_refused_with_the_reason(drive: Drive) -> None:
    reason = "Jobs run at an operator service here, which has no free jobs and no logs of running jobs."
    assert json.loads(drive.error("freeComputeStart")) == {"error": reason}
    # The library logs the reason and returns null.
    assert drive.value("computeStreamableLogs") is None
    assert reason in drive.stderr
