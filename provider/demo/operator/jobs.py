"""Jobs of the demo's operator service: what may be started, and how jobs are shown (`provider-api.md` 10.4, 10.6)."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

STATUS_TEXTS = {
    1: "Warming up",
    10: "Job started",
    20: "Configuring volumes",
    30: "Provisioning success",
    31: "Data provisioning failed",
    32: "Algorithm provisioning failed",
    40: "Running algorithm",
    50: "Filtering results",
    60: "Publishing results",
    70: "Job completed",
}
DATA_FAILED, ALGORITHM_FAILED, COMPLETED = 31, 32, 70
ENDED = frozenset((DATA_FAILED, ALGORITHM_FAILED, COMPLETED))
REQUIRED = ("workflow", "agreementId", "owner", "providerSignature", "environment", "nonce")
STAGE_KEYS = ("algorithm", "compute", "input", "output")

Json = dict[str, Any]


class OperatorRefusal(Exception):
    """The operator service refuses; its text is the answer's `error`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Result:
    """A file that a job left. `type`: `output`, `algorithmLog` or `configrationLog` (sic)."""

    filename: str
    type: str
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Job:
    """One job; `stage` is the only one of its workflow."""

    owner: str
    agreement_id: str
    stage: Mapping[str, Any] = field(repr=False)
    end: float
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: int = 1
    stopped: bool = False
    created: float = field(default_factory=time.time)
    finished: float | None = None
    results: list[Result] = field(default_factory=list)

    def finish(self, status: int, results: list[Result]) -> None:
        """Record that the job has ended and left these files."""
        self.results, self.status, self.finished = results, status, time.time()

    def shown(self) -> Json:
        """Return the job as clients see it."""
        files = [
            {"filename": result.filename, "filesize": len(result.body), "type": result.type, "index": index}
            for index, result in enumerate(self.results)
        ]
        return {
            "agreementId": self.agreement_id,
            "jobId": self.job_id,
            "owner": self.owner,
            "status": self.status,
            "statusText": STATUS_TEXTS[self.status],
            "dateCreated": f"{self.created:.5f}",
            "dateFinished": None if self.finished is None else f"{self.finished:.5f}",
            "results": files or "",
            "stopreq": int(self.stopped),
            "removed": 0,
            "algoDID": self.stage["algorithm"]["id"] or "raw",
            "inputDID": [item["id"] for item in self.stage["input"]],
        }


class Jobs:
    """Every job since the service started. `environment`: the id of the only environment."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._jobs: dict[str, Job] = {}

    def running(self) -> int:
        """Number of jobs that have not ended."""
        return sum(job.status not in ENDED for job in self._jobs.values())

    def start(self, body: object) -> Job:
        """Start the job of a POST's body. Raises OperatorRefusal."""
        if not isinstance(body, dict):
            raise OperatorRefusal(400, "payload must be a JSON object")
        for key in REQUIRED:
            if not body.get(key):
                raise OperatorRefusal(400, f'"{key}" is required in the call to POST:/compute')
        stage = _only_stage(body["workflow"])
        check_signature(body, str(body["owner"]))
        if body["environment"] != self._environment:
            raise OperatorRefusal(400, "Environment invalid or not found")
        if any(job.agreement_id == body["agreementId"] and job.status not in ENDED for job in self._jobs.values()):
            raise OperatorRefusal(400, "`agreementId` already in use for other job.")
        job = Job(str(body["owner"]), str(body["agreementId"]), stage, float(body.get("validUntil") or time.time()))
        self._jobs[job.job_id] = job
        return job

    def select(self, fields: Mapping[str, str]) -> list[Job]:
        """Select jobs by owner, job and agreement. Raises OperatorRefusal."""
        owner, job_id, agreement = (fields.get(name, "") for name in ("owner", "jobId", "agreementId"))
        if not (owner or job_id or agreement):
            raise OperatorRefusal(400, "You have to specify one of agreementId, jobId or owner")
        check_signature(fields, owner + job_id)
        return [
            job
            for job in self._jobs.values()
            if owner in ("", job.owner) and job_id in ("", job.job_id) and agreement in ("", job.agreement_id)
        ]

    def result(self, fields: Mapping[str, str]) -> Result:
        """Return the file that a getResult query names. Raises OperatorRefusal."""
        for key in ("index", "owner", "jobId", "providerSignature", "nonce"):
            if not fields.get(key):
                raise OperatorRefusal(400, f'"{key}" is required in the call to GET:/getResult')
        job_id, owner = fields["jobId"], fields["owner"]
        check_signature(fields, owner + job_id)
        try:
            index = int(fields["index"])
        except ValueError:
            raise OperatorRefusal(400, "index is not a number") from None
        job = self._jobs.get(job_id)
        if job is None or not job.results:
            raise OperatorRefusal(404, f"No results for job {job_id}")
        if job.owner != owner:
            raise OperatorRefusal(404, f"Owner {owner} mismatch for job {job_id}")
        if index < 0:
            raise OperatorRefusal(404, f"Negative index {index}")
        if index >= len(job.results):
            raise OperatorRefusal(404, f"No such index {index} in this compute job")
        return job.results[index]


def _only_stage(workflow: object) -> Mapping[str, Any]:
    stages = workflow.get("stages") if isinstance(workflow, dict) else None
    if not isinstance(stages, list) or not stages:
        raise OperatorRefusal(400, "workflow has no stages")
    if len(stages) > 1:
        raise OperatorRefusal(400, "Multiple stages are not supported yet")
    stage: Json = stages[0]
    for key in STAGE_KEYS:
        if not isinstance(stage, dict) or key not in stage:
            raise OperatorRefusal(400, f'"{key}" is required in stage')
    named = [*stage["input"], stage["algorithm"]] if isinstance(stage["input"], list) else []
    if len(named) < 2 or not all(isinstance(part, dict) and isinstance(part.get("id"), str) for part in named):
        raise OperatorRefusal(400, "stage needs input and algorithm, each with an id")
    return stage


def check_signature(fields: Mapping[str, Any], message: str) -> None:
    """Check that the claimed Provider signed `message` and the nonce (section 10.5). Raises OperatorRefusal.

    If no Provider is claimed (getResult), any valid signature will do, as for the real service.
    """
    signature, nonce = fields.get("providerSignature"), fields.get("nonce")
    if not signature or not nonce:
        raise OperatorRefusal(400, "`providerSignature` and `nonce` are required")
    try:
        signer = Account.recover_message(encode_defunct(keccak(text=f"{message}{nonce}")), signature=str(signature))
    except (ValueError, TypeError, BadSignature, ValidationError):
        raise OperatorRefusal(401, "Invalid signature") from None
    if fields.get("providerAddress", signer) != signer:
        raise OperatorRefusal(401, "Invalid providerSignature")
