"""A pod's work for one job: fetch inputs through the Provider, run the algorithm in the sandbox, leave results.

Works like pod-configuration (`provider-api.md` section 15.3): signed by the environment's own key, with the clock in
milliseconds as nonce. Folders are those of pods: /data/inputs/<did>/<index>, /data/outputs.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from provider.demo.operator.jobs import ALGORITHM_FAILED, COMPLETED, DATA_FAILED, Job, Result
from provider.demo.operator.sandbox import Limits, SandboxUnavailable, run_sandboxed
from provider.testing.http_client import download, error_text, request, with_query

# The key of the demo's compute environment: public and worthless, it signs only downloads.
ENVIRONMENT_KEY = "0x" + "c2" * 32
PROVISIONED = 30
MAX_INPUT_BYTES = 64 << 20


class ProvisioningFailed(Exception):
    """A file could not be fetched. The text goes into the job's configuration log."""


@dataclass(frozen=True, slots=True)
class Pod:
    """Runs one job after another in `folder`.

    `provider_url`: base URL for services without an endpoint.
    `pause_seconds`: keeps each status long enough for somebody to see it.
    """

    folder: Path
    provider_url: str
    pause_seconds: float
    turn: AbstractAsyncContextManager[object]

    async def run(self, job: Job) -> None:
        """Run the job to its end. If cancelled, it ends early."""
        notes = ["demo pod: no container, a sandboxed Python process"]
        results: list[Result] = []
        status = COMPLETED
        try:
            async with self.turn:
                results = await self._stages(job, notes)
        except ProvisioningFailed as failure:
            notes.append(str(failure))
            status = _failure(job)
        except (OSError, ValueError) as error:
            notes.append(f"the pod failed: {type(error).__name__}")
            status = _failure(job)
        except asyncio.CancelledError:
            notes.append("stopped")
        results.append(Result("configuration.log", "configrationLog", "\n".join([*notes, ""]).encode()))
        job.finish(status, results)

    async def _stages(self, job: Job, notes: list[str]) -> list[Result]:
        folder = self.folder / job.job_id
        await self._show(job, 10)
        await self._show(job, 20)
        for item in job.stage["input"]:
            place = folder / "inputs" / item["id"]
            notes += await asyncio.to_thread(self._fetch, item["id"], item.get("remote") or {}, place)
        await self._show(job, 30)
        algorithm = job.stage["algorithm"]
        notes += await asyncio.to_thread(self._algorithm, algorithm, folder)
        await self._show(job, 40)
        results = await self._compute(job, folder)
        await self._show(job, 50)
        await self._show(job, 60)
        return results

    async def _show(self, job: Job, status: int) -> None:
        job.status = status
        await asyncio.sleep(self.pause_seconds)

    def _algorithm(self, algorithm: Mapping[str, Any], folder: Path) -> list[str]:
        place = folder / "transformations"
        place.mkdir(parents=True)
        if algorithm.get("algocustomdata"):
            (folder / "inputs" / "algoCustomData.json").write_text(json.dumps(algorithm["algocustomdata"]))
        if algorithm.get("rawcode"):
            (place / "algorithm").write_text(str(algorithm["rawcode"]))
            return ["algorithm: raw code"]
        if "remote" not in algorithm:
            raise ProvisioningFailed("algorithm: the demo runs published algorithms and raw code, no URLs")
        notes = self._fetch(algorithm["id"], algorithm["remote"], place)
        (place / "0").rename(place / "algorithm")
        return notes

    def _fetch(self, did: str, remote: Mapping[str, Any], place: Path) -> list[str]:
        """Fetch all files of a service, by number. Raises ProvisioningFailed."""
        if re.fullmatch(r"did:op:[0-9a-f]{64}", did) is None:
            raise ProvisioningFailed("not a DID")  # and it names a folder
        place.mkdir(parents=True, exist_ok=True)
        endpoint = f"{remote.get('serviceEndpoint') or self.provider_url}/"
        try:
            asked = {"did": did, "serviceId": remote["serviceId"]}
            headers = {"Content-Type": "application/json"}
            # Pods join endpoint and path blindly, which gives two slashes.
            listed = request(
                "POST", f"{endpoint}/api/services/fileinfo", body=json.dumps(asked).encode(), headers=headers
            )
            if listed.status != 200:
                raise ProvisioningFailed(f"{did}: {listed.status} {listed.error_text()}")
            return [self._download(endpoint, did, remote, index, place) for index in range(len(listed.json()))]
        except (OSError, HTTPException, KeyError, ValueError) as error:
            raise ProvisioningFailed(f"{did}: {type(error).__name__}") from error

    def _download(self, endpoint: str, did: str, remote: Mapping[str, Any], index: int, place: Path) -> str:
        account = Account.from_key(ENVIRONMENT_KEY)
        nonce = str(time.time_ns() // 1_000_000)
        signature = account.sign_message(encode_defunct(keccak(text=did + nonce))).signature
        parameters = {
            "fileIndex": index,
            "documentId": did,
            "transferTxId": remote["txId"],
            "serviceId": remote["serviceId"],
            "consumerAddress": account.address,
            "nonce": nonce,
            "signature": "0x" + bytes(signature).hex(),
            "userdata": json.dumps(remote["userdata"]) if remote.get("userdata") else None,
        }
        received = 0

        def bound(count: int) -> None:
            nonlocal received
            received += count
            if received > MAX_INPUT_BYTES:
                raise ProvisioningFailed(f"{did}: more than {MAX_INPUT_BYTES} bytes")

        with open(place / str(index), "wb") as sink:
            got = download(with_query(f"{endpoint}/api/services/download", parameters), sink=sink, progress=bound)
        if got.status != 200 or not got.complete:
            raise ProvisioningFailed(f"{did}: {got.status} {error_text(got.error_body) or 'cut'}")
        return f"{did}: file {index}, {got.size_bytes} bytes through the Provider, sha256 {got.sha256}"

    async def _compute(self, job: Job, folder: Path) -> list[Result]:
        environ = {
            "DIDS": json.dumps([item["id"] for item in job.stage["input"]]),
            "TRANSFORMATION_DID": job.stage["algorithm"]["id"],
            "INPUTS": "/data/inputs",
            "OUTPUTS": "/data/outputs",
        }
        limits = Limits()
        seconds = min(limits.wall_seconds, job.end - time.time())
        if seconds <= 0:
            raise ProvisioningFailed("algorithm: the time that was paid for is over")
        try:
            outcome = await run_sandboxed(folder, environ=environ, limits=Limits(wall_seconds=seconds))
        except SandboxUnavailable as error:
            raise ProvisioningFailed(f"sandbox: {error}") from error
        note = f"[demo pod] {outcome.ending()}{'' if outcome.whole else '; some outputs were too large'}\n"
        outputs = [Result(name, "output", body) for name, body in outcome.outputs.items()]
        return [*outputs, Result("algorithm.log", "algorithmLog", outcome.log + note.encode())]


def _failure(job: Job) -> int:
    return DATA_FAILED if job.status < PROVISIONED else ALGORITHM_FAILED
