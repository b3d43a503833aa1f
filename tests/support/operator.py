"""A stand-in for the operator service over HTTP: makes the real one's checks, keeps jobs and serves results.

The real one is Flask, PostgreSQL and Kubernetes. Its wire: `provider-api.md` sections 10.4 to 10.6. Where a defect of
the real one skips a check (the signer over the nonce), this one makes it, with eth_account.
"""

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import SPARE_KEYS
from tests.support.origin import BLOCK

BASE = "/api/v1/operator"
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
ENDED = frozenset({31, 32, 70})
REQUIRED = ("workflow", "agreementId", "owner", "providerSignature", "environment", "nonce")
STAGE_KEYS = ("algorithm", "compute", "input", "output")
ENVIRONMENT_KEY = SPARE_KEYS[5]
ENVIRONMENT_ADDRESS = str(Account.from_key(ENVIRONMENT_KEY).address)

Json = dict[str, Any]


class Refused(Exception):
    """The operator refuses with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def environment(name: str, *, price: object = 0, address: str = ENVIRONMENT_ADDRESS, **more: object) -> Json:
    """An environment as the real service lists it."""
    return {
        "id": name,
        "cpuNumber": 2,
        "cpuType": "any",
        "gpuNumber": 0,
        "gpuType": "",
        "ramGB": 1,
        "diskGB": 2,
        "priceMin": price,
        "desc": "made up",
        "currentJobs": 0,
        "maxJobs": 10,
        "consumerAddress": address,
        "storageExpiry": 604800,
        "maxJobDuration": 3600,
        "lastSeen": "1700000000.0",
        **more,
    }


@dataclass
class Result:
    """A file that a job left: its bytes, or `size_bytes` of the origin's pattern.

    `lost_after`: the bytes have a validator, and each connection is cut after that many of them.
    """

    filename: str
    type: str
    body: bytes = b""
    size_bytes: int = 0
    lost_after: int = 0

    @property
    def length(self) -> int:
        """Bytes."""
        return self.size_bytes or len(self.body)


@dataclass
class Job:
    """A job and the request that started it."""

    job_id: str
    owner: str
    request: Json
    status: int = 1
    stopped: bool = False
    results: list[Result] = field(default_factory=list)

    def shown(self) -> Json:
        """The job as clients see it."""
        stage = self.request["workflow"]["stages"][0]
        return {
            "agreementId": self.request["agreementId"],
            "jobId": self.job_id,
            "owner": self.owner,
            "status": self.status,
            "statusText": STATUS_TEXTS[self.status],
            "dateCreated": "1700000000.00000",
            "dateFinished": "1700000600.00000" if self.status in ENDED else None,
            "results": [
                {"filename": result.filename, "filesize": result.length, "type": result.type, "index": index}
                for index, result in enumerate(self.results)
            ]
            or "",
            "stopreq": int(self.stopped),
            "removed": 0,
            "algoDID": stage["algorithm"]["id"] or "raw",
            "inputDID": [item["id"] for item in stage["input"]],
        }


@dataclass
class OperatorService:
    """The running stand-in: environments by chain, jobs, and its requests (`asked`: method and path)."""

    url: str
    environments: dict[int, list[Json]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    asked: list[tuple[str, str, Json]] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)
    broken_chains: set[int] = field(default_factory=set)
    next_answer: tuple[int, bytes] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def last_start(self) -> Json:
        """Body of the last request to start a job, accepted or not."""
        return next(fields for method, path, fields in reversed(self.asked) if (method, path) == ("POST", "compute"))

    def starts(self) -> int:
        """How many requests to start a job arrived."""
        return sum((method, path) == ("POST", "compute") for method, path, _ in self.asked)

    def finish(self, job_id: str, *results: Result) -> None:
        """Complete the job with these files."""
        with self.lock:
            self.jobs[job_id].results = list(results)
            self.jobs[job_id].status = 70

    # What the service does

    def start(self, body: object) -> list[Json]:
        """POST compute. Raises Refused."""
        if not isinstance(body, dict):
            raise Refused(400, "payload must be a JSON object")
        for key in REQUIRED:
            if not body.get(key):
                raise Refused(400, f'"{key}" is required in the call to POST:/compute')
        stages = body["workflow"].get("stages") if isinstance(body["workflow"], dict) else None
        if not isinstance(stages, list) or not stages:
            raise Refused(400, "workflow has no stages")
        if len(stages) > 1:
            raise Refused(400, "Multiple stages are not supported yet")
        _check_stage(stages[0])
        self._check_signature(body, body["owner"])
        known = [one["id"] for listed in self.environments.values() for one in listed]
        if body["environment"] not in known:
            raise Refused(400, "Environment invalid or not found")
        with self.lock:
            for job in self.jobs.values():
                if job.request["agreementId"] == body["agreementId"] and job.status not in ENDED and not job.stopped:
                    raise Refused(400, "`agreementId` already in use for other job.")
            job = Job(uuid.uuid4().hex, body["owner"], body)
            self.jobs[job.job_id] = job
            return [job.shown()]

    def status(self, fields: Mapping[str, str]) -> list[Json]:
        """GET compute. Raises Refused."""
        return [job.shown() for job in self._selected(fields)]

    def stop(self, fields: Mapping[str, str]) -> list[Json]:
        """PUT compute: without a job id, stop all jobs of the owner. Raises Refused."""
        jobs = self._selected(fields)
        for job in jobs:
            job.stopped = True
        return [job.shown() for job in jobs]

    def delete(self, fields: Mapping[str, str]) -> str:
        """DELETE compute, which does nothing. Raises Refused."""
        self._selected(fields)
        return ""

    def result(self, fields: Mapping[str, str]) -> Result:
        """GET getResult. Raises Refused."""
        for key in ("index", "owner", "jobId", "providerSignature", "nonce"):
            if not fields.get(key):
                raise Refused(400, f'"{key}" is required in the call to GET:/getResult')
        job_id, owner = fields["jobId"], fields["owner"]
        self._check_signature(fields, owner + job_id)
        try:
            index = int(fields["index"])
        except ValueError:
            raise Refused(400, "index is not a number") from None
        job = self.jobs.get(job_id)
        if job is None or not job.results:
            raise Refused(404, f"No results for job {job_id}")
        if job.owner != owner:
            raise Refused(404, f"Owner {owner} mismatch for job {job_id}")
        if index < 0:
            raise Refused(404, f"Negative index {index}")
        if index >= len(job.results):
            raise Refused(404, f"No such index {index} in this compute job")
        return job.results[index]

    def list_environments(self, fields: Mapping[str, str]) -> list[Json]:
        """GET environments. Raises Refused."""
        chain_id = int(fields["chainId"])
        if chain_id in self.broken_chains:
            raise Refused(500, "planted failure at http://operator-db.internal")
        return self.environments.get(chain_id, [])

    def _selected(self, fields: Mapping[str, str]) -> list[Job]:
        owner, job_id, agreement = fields.get("owner", ""), fields.get("jobId", ""), fields.get("agreementId", "")
        if not (owner or job_id or agreement):
            raise Refused(400, "You have to specify one of agreementId, jobId or owner")
        self._check_signature(fields, owner + job_id)
        with self.lock:
            return [
                job
                for job in self.jobs.values()
                if (not owner or job.owner == owner)
                and (not job_id or job.job_id == job_id)
                and (not agreement or job.request["agreementId"] == agreement)
            ]

    def _check_signature(self, fields: Mapping[str, Any], message: str) -> None:
        """Check that the Provider signed `message` and the nonce, and that the nonce is greater than its last one."""
        signature, nonce = fields.get("providerSignature"), fields.get("nonce")
        if not signature or not nonce:
            raise Refused(400, "`providerSignature` and `nonce` are required")
        inner = keccak(text=f"{message}{nonce}")
        try:
            signer = Account.recover_message(encode_defunct(primitive=inner), signature=signature)
        except Exception as exc:
            raise Refused(401, "Invalid signature") from exc
        claimed = fields.get("providerAddress", signer)
        if signer != claimed:
            raise Refused(401, f"Invalid providerSignature of {claimed}")
        with self.lock:
            if int(nonce) <= self.nonces.get(signer, 0):
                raise Refused(401, "Invalid nonce")
            self.nonces[signer] = int(nonce)


def _check_stage(stage: object) -> None:
    if not isinstance(stage, dict):
        raise Refused(400, "stage is not an object")
    for key in STAGE_KEYS:
        if key not in stage:
            raise Refused(400, f'"{key}" is required in stage')
    if not stage["input"] or not isinstance(stage["algorithm"], dict):
        raise Refused(400, "stage lacks input or algorithm")
    # The engine calls `.replace` on each of them.
    if not all(isinstance(part.get("id"), str) for part in (*stage["input"], stage["algorithm"])):
        raise Refused(400, "id is not a text")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: OperatorService

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        fields = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = parts.path.removeprefix(f"{BASE}/")
        sent: Any = json.loads(body) if body else fields
        with self.service.lock:
            self.service.asked.append((self.command, path, sent))
            planted, self.service.next_answer = self.service.next_answer, None
        try:
            if planted is not None:
                self._send(planted[0], planted[1])
            elif (self.command, path) == ("GET", "getResult"):
                self._send_result(self.service.result(fields))
            else:
                self._send(200, json.dumps(self._call(path, sent, fields)).encode())
        except Refused as refusal:
            self._send(refusal.status, json.dumps({"error": str(refusal)}).encode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _call(self, path: str, sent: Any, fields: dict[str, str]) -> object:
        service = self.service
        if path == "environments" and self.command == "GET":
            return service.list_environments(fields)
        if path != "compute":
            raise Refused(404, "no such path")
        if self.command == "POST":
            return service.start(sent)
        return {"GET": service.status, "PUT": service.stop, "DELETE": service.delete}[self.command](fields)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_result(self, result: Result) -> None:
        start, end = 0, result.length - 1
        wanted = self.headers.get("Range")
        self.send_response(206 if wanted else 200)
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) if last else end
            self.send_header("Content-Range", f"bytes {start}-{end}/{result.length}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", f"attachment;filename={result.filename}")
        self.send_header("Content-Length", str(end - start + 1))
        if result.lost_after:
            self.send_header("ETag", '"result"')
            end = min(end, start + result.lost_after - 1)
            self.close_connection = True
        self.end_headers()
        if not result.size_bytes:
            self.wfile.write(result.body[start : end + 1])
            return
        view, count = memoryview(BLOCK), end - start + 1
        while count:
            offset = start % len(BLOCK)
            sent = self.connection.send(view[offset : offset + min(count, 262144)])
            start, count = start + sent, count - sent


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_operator(environments: Mapping[int, list[Json]]) -> Iterator[OperatorService]:
    """An operator service on a free port of 127.0.0.1 with these environments."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    service = OperatorService(f"http://127.0.0.1:{server.server_address[1]}/", environments=dict(environments))
    handler.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
