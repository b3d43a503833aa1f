"""The demo's operator service accepts and refuses like the real one (`provider-api.md` sections 10.4 to 10.6)."""

import copy
import time
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.demo.operator.jobs import (
    COMPLETED,
    REQUIRED,
    STAGE_KEYS,
    STATUS_TEXTS,
    Job,
    Jobs,
    OperatorRefusal,
    Result,
)
from provider.testing.chain.keys import PROVIDER_KEY, STRANGER_KEY

OWNER = "0x" + "11" * 20
STAGE = {
    "index": 0,
    "input": [{"index": 0, "id": "did:op:1", "remote": {}}],
    "compute": {},
    "algorithm": {"id": ""},
    "output": {},
}


def signed(message: str, key: str = PROVIDER_KEY) -> dict[str, Any]:
    nonce = time.time_ns()
    account = Account.from_key(key)
    signature = account.sign_message(encode_defunct(keccak(text=f"{message}{nonce}"))).signature
    return {"nonce": nonce, "providerSignature": "0x" + bytes(signature).hex(), "providerAddress": account.address}


def start_body(**more: object) -> dict[str, Any]:
    return {
        "workflow": {"stages": [copy.deepcopy(STAGE)]},
        "agreementId": "0x01",
        "owner": OWNER,
        "environment": "here",
        "validUntil": int(time.time()) + 60,
        **signed(OWNER),
        **more,
    }


def refused(call: Any, *arguments: object) -> tuple[int, str]:
    with pytest.raises(OperatorRefusal) as refusal:
        call(*arguments)
    return refusal.value.status, str(refusal.value)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs("here")


@pytest.fixture
def job(jobs: Jobs) -> Job:
    return jobs.start(start_body())


def test_started_job_is_shown_as_the_real_one_shows_it(job: Job) -> None:
    shown = job.shown()
    assert float(shown.pop("dateCreated")) == pytest.approx(time.time(), abs=60)
    assert shown == {
        "agreementId": "0x01",
        "jobId": job.job_id,
        "owner": OWNER,
        "status": 1,
        "statusText": "Warming up",
        "dateFinished": None,
        "results": "",
        "stopreq": 0,
        "removed": 0,
        "algoDID": "raw",
        "inputDID": ["did:op:1"],
    }


@pytest.mark.parametrize("key", REQUIRED)
def test_required_key_that_is_missing_is_named(jobs: Jobs, key: str) -> None:
    body = start_body()
    del body[key]
    assert refused(jobs.start, body) == (400, f'"{key}" is required in the call to POST:/compute')


@pytest.mark.parametrize("key", STAGE_KEYS)
def test_key_of_the_stage_that_is_missing_is_named(jobs: Jobs, key: str) -> None:
    stage = {name: value for name, value in STAGE.items() if name != key}
    assert refused(jobs.start, start_body(workflow={"stages": [stage]})) == (400, f'"{key}" is required in stage')


@pytest.mark.parametrize(
    "workflow",
    [
        {"stages": []},
        {"stages": "x"},
        "x",
        {"stages": [STAGE, STAGE]},
        {"stages": [{**STAGE, "input": []}]},
        {"stages": [{**STAGE, "input": [{"id": 1}]}]},
        {"stages": [{**STAGE, "algorithm": {"id": None}}]},
        {"stages": ["x"]},
    ],
)
def test_workflow_is_one_whole_stage(jobs: Jobs, workflow: object) -> None:
    assert refused(jobs.start, start_body(workflow=workflow))[0] == 400


@pytest.mark.parametrize("body", [None, [], "x"])
def test_body_is_an_object(jobs: Jobs, body: object) -> None:
    assert refused(jobs.start, body) == (400, "payload must be a JSON object")


@pytest.mark.parametrize(
    "fields",
    [
        {"providerSignature": "0x00"},
        {"providerSignature": "0x" + "00" * 65},
        {"providerSignature": "junk"},
        {"providerSignature": signed(OWNER, STRANGER_KEY)["providerSignature"]},
        {"owner": "0x" + "22" * 20},
        {"nonce": 1},
    ],
)
def test_start_is_signed_by_the_provider_that_it_names(jobs: Jobs, fields: dict[str, object]) -> None:
    assert refused(jobs.start, start_body(**fields))[0] == 401


def test_unknown_environment_is_refused(jobs: Jobs) -> None:
    assert refused(jobs.start, start_body(environment="there")) == (400, "Environment invalid or not found")


def test_agreement_serves_one_running_job(jobs: Jobs, job: Job) -> None:
    assert refused(jobs.start, start_body()) == (400, "`agreementId` already in use for other job.")
    assert jobs.running() == 1
    job.finish(COMPLETED, [])
    assert jobs.running() == 0
    assert jobs.start(start_body()).job_id != job.job_id


def test_jobs_are_selected_by_owner_and_job(jobs: Jobs, job: Job) -> None:
    other = jobs.start(start_body(agreementId="0x02"))
    assert jobs.select({"owner": OWNER, **signed(OWNER)}) == [job, other]
    assert jobs.select({"owner": OWNER, "jobId": job.job_id, **signed(OWNER + job.job_id)}) == [job]
    assert jobs.select({"owner": "0x", **signed("0x")}) == []
    assert refused(jobs.select, signed("")) == (400, "You have to specify one of agreementId, jobId or owner")
    assert refused(jobs.select, {"owner": OWNER}) == (400, "`providerSignature` and `nonce` are required")


def test_result_is_for_its_owner_by_index(jobs: Jobs, job: Job) -> None:
    def asked(index: object, owner: str = OWNER) -> dict[str, Any]:
        return {"index": str(index), "owner": owner, "jobId": job.job_id, **signed(owner + job.job_id)}

    assert refused(jobs.result, asked(0)) == (404, f"No results for job {job.job_id}")
    file = Result("out.csv", "output", b"1,2")
    job.finish(COMPLETED, [file])
    assert job.shown()["results"] == [{"filename": "out.csv", "filesize": 3, "type": "output", "index": 0}]
    assert jobs.result(asked(0)) is file
    assert refused(jobs.result, asked(1)) == (404, "No such index 1 in this compute job")
    assert refused(jobs.result, asked(-1)) == (404, "Negative index -1")
    assert refused(jobs.result, asked("x")) == (400, "index is not a number")
    assert refused(jobs.result, asked(0, "0x02")) == (404, f"Owner 0x02 mismatch for job {job.job_id}")
    assert refused(jobs.result, {**asked(0), "index": ""})[0] == 400


def test_status_texts_are_those_that_clients_know() -> None:
    assert (STATUS_TEXTS[31], STATUS_TEXTS[70], len(STATUS_TEXTS)) == ("Data provisioning failed", "Job completed", 10)
