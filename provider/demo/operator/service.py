"""The demo's operator service, as a separate process: FOR TRYING THINGS OUT ONLY, never for other people's data.

It speaks the wire of the real service (`provider-api.md` sections 10.4 to 10.6), so a Provider cannot tell the
difference. It keeps jobs in memory and runs algorithms as Python processes in `sandbox.py`, one at a time. `python -m
provider.demo.operator.service --folder DIR --provider URL` prints one JSON line `{"url": …}` once it answers.
"""

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from eth_account import Account
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.demo.operator.jobs import Jobs, OperatorRefusal
from provider.demo.operator.pod import ENVIRONMENT_KEY, Pod
from provider.demo.operator.sandbox import Limits
from provider.testing.chain.evm_json import CHAIN_ID
from provider.testing.child import announce, child_parser, until_stopped

ENVIRONMENT = "demo-sandbox"
PRICE_PER_MINUTE = 0.1  # tokens
PAUSE_SECONDS = 0.25


class Operator:
    """Jobs and the pod that runs them."""

    def __init__(self, folder: Path, provider_url: str) -> None:
        self.jobs = Jobs(ENVIRONMENT)
        self._folder = folder
        self._pod = Pod(folder, provider_url, PAUSE_SECONDS, asyncio.Semaphore(1))
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, body: object) -> list[dict[str, Any]]:
        """Start a job. Raises OperatorRefusal."""
        job = self.jobs.start(body)
        shown = job.shown()
        task = asyncio.create_task(self._pod.run(job))
        self._running[job.job_id] = task
        task.add_done_callback(lambda _: self._forget(job.job_id))
        return [shown]

    def _forget(self, job_id: str) -> None:
        del self._running[job_id]
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def stop(self, fields: dict[str, str]) -> list[dict[str, Any]]:
        """Stop the jobs that a query selects. Raises OperatorRefusal."""
        jobs = self.jobs.select(fields)
        for job in jobs:
            job.stopped = True
            if job.job_id in self._running:
                self._running[job.job_id].cancel()
        return [job.shown() for job in jobs]

    def environments(self, chain_id: str) -> list[dict[str, Any]]:
        """The one environment, on the demo's chain."""
        if chain_id != str(CHAIN_ID):
            return []
        running, limits = self.jobs.running(), Limits()
        return [
            {
                "id": ENVIRONMENT,
                "cpuNumber": 1,
                "cpuType": "shared",
                "gpuNumber": 0,
                "gpuType": "",
                "ramGB": limits.memory_bytes / (1 << 30),
                "diskGB": limits.output_bytes / (1 << 30),
                "priceMin": PRICE_PER_MINUTE,
                "desc": "Demo only: a sandboxed Python process, no container",
                "currentJobs": running,
                "maxJobs": 1,
                "consumerAddress": str(Account.from_key(ENVIRONMENT_KEY).address),
                "storageExpiry": 3600,
                "maxJobDuration": int(limits.wall_seconds),
                "lastSeen": "now",
            }
        ]

    async def close(self) -> None:
        """End what runs."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class OperatorHandler(RequestHandler):
    """Base class: query fields, and refusals as `{"error": text}`."""

    def initialize(self, operator: Operator) -> None:
        """Tornado's hook for the arguments of the route."""
        self.operator = operator

    def fields(self) -> dict[str, str]:
        """Return the query, with the last value of each name."""
        return {name: self.get_query_argument(name, strip=False) for name in self.request.query_arguments}

    def answer(self, value: object, status: int = 200) -> None:
        """Send a JSON answer."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **info: Any) -> None:
        """Send a refusal in the operator\'s words."""
        error = info.get("exc_info", (None, None, None))[1]
        refused = isinstance(error, OperatorRefusal)
        self.answer({"error": str(error) if refused else "failed"}, error.status if refused else status_code)

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log nothing for a refusal, which is no fault of this process."""
        if not isinstance(value, OperatorRefusal):
            super().log_exception(kind, value, trace)


class ComputeHandler(OperatorHandler):
    """`compute`: start, status, stop, delete."""

    def post(self) -> None:
        """Start a job."""
        try:
            body = json.loads(self.request.body)
        except ValueError:
            raise OperatorRefusal(400, "payload must be a JSON object") from None
        self.answer(self.operator.start(body))

    def get(self) -> None:
        """Return the status of jobs."""
        self.answer([job.shown() for job in self.operator.jobs.select(self.fields())])

    def put(self) -> None:
        """Stop."""
        self.answer(self.operator.stop(self.fields()))

    def delete(self) -> None:
        """Do nothing, like the real service."""
        self.operator.jobs.select(self.fields())
        self.answer("")


class EnvironmentsHandler(OperatorHandler):
    """`environments` of a chain."""

    def get(self) -> None:
        """The list."""
        self.answer(self.operator.environments(self.get_query_argument("chainId", "")))


class ResultHandler(OperatorHandler):
    """Handles `getResult`: one file of a job."""

    def get(self) -> None:
        """The whole file."""
        result = self.operator.jobs.result(self.fields())
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in result.filename)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f"attachment;filename={name.encode('ascii', 'replace').decode()}")
        self.finish(result.body)


async def serve(port: int, folder: Path, provider_url: str, *, watch_stdin: bool) -> None:
    """Serve on 127.0.0.1 until stopped; port 0 takes a free one."""
    operator = Operator(folder, provider_url)
    base, parts = "/api/v1/operator", {"operator": operator}
    routes: list[Any] = [
        (f"{base}/compute", ComputeHandler, parts),
        (f"{base}/environments", EnvironmentsHandler, parts),
        (f"{base}/getResult", ResultHandler, parts),
    ]
    (listener,) = bind_sockets(port, "127.0.0.1")
    server = HTTPServer(Application(routes, log_function=lambda _: None))
    server.add_sockets([listener])
    announce({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    await until_stopped(watch_stdin=watch_stdin)
    await operator.close()


def main() -> None:
    """Entry point of `python -m provider.demo.operator.service`."""
    parser = child_parser("Operator service of the Provider demo, for trying things out only.")
    parser.add_argument("--folder", help="folder for the files of jobs (default: a temporary folder)")
    parser.add_argument("--provider", required=True, metavar="URL", help="the Provider that serves the inputs")
    arguments = parser.parse_args()
    os.umask(0o022)  # started by root, the sandbox reads as nobody
    with tempfile.TemporaryDirectory(prefix="operator-", dir=arguments.folder) as folder:
        asyncio.run(serve(arguments.port, Path(folder), arguments.provider, watch_stdin=arguments.watch_stdin))


if __name__ == "__main__":
    main()
