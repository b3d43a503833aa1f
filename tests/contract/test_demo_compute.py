"""`provider demo --compute` as a newcomer starts it, and its operator service behind a real server."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from provider.demo.operator.sandbox import SandboxUnavailable, probe
from provider.demo.operator.service import ENVIRONMENT
from provider.demo.scenes.download import Cast
from provider.testing.chain.keys import DEPLOYER_KEY
from provider.testing.child import Child, Children
from provider.testing.http_client import request, with_query
from provider.testing.market.compute import CONTAINER, ComputeConsumer, environments, item, publish_dataset
from provider.testing.market.publisher import Published
from provider.testing.ports import free_ports
from provider.testing.readings import session_cpu_seconds
from provider.testing.stage import READY_SECONDS, DemoChain, launch_origin, launch_server

Start = Callable[..., subprocess.Popen[str]]

COMMAND = [sys.executable, "-m", "provider", "demo", "--compute"]
TABLE = """\
      station     days        mean_c      lowest_c    highest_c
      S0          29          14.15       -5.0        33.0
      S1          29          15.09       -3.6        34.4
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where the machine gives none."""
    try:
        asyncio.run(probe(tmp_path_factory.mktemp("probe")))
    except SandboxUnavailable as error:
        pytest.skip(f"no sandbox here: {error}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo with its temporary files under `tmp_path`; `through`: a command that runs it."""
    with contextlib.ExitStack() as stack:

        def popen(*more: str, through: tuple[str, ...] = ()) -> subprocess.Popen[str]:
            environ = {**os.environ, "TMPDIR": str(tmp_path)}
            process = subprocess.Popen(
                [*through, *COMMAND, *more], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        yield popen


def read_until(process: subprocess.Popen[str], mark: str, count: int = 1) -> list[str]:
    """Lines up to the one that is the `count`th with this mark."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        count -= mark in line
        if count == 0:
            return lines
    raise AssertionError("".join(lines))


def leftovers(tmp_path: Path, sessions: set[int]) -> list[object]:
    return [*tmp_path.glob("provider-demo-*"), *(sid for sid in sessions if session_cpu_seconds(sid) is not None)]


def sessions_of(process: subprocess.Popen[str]) -> set[int]:
    return {os.getsid(child.pid) for child in psutil.Process(process.pid).children(recursive=True)}


# The command


@pytest.mark.usefixtures("sandbox")
def test_newcomer_sees_a_whole_job_and_what_to_try_and_a_signal_takes_everything_down(
    tmp_path: Path, start: Start
) -> None:
    process = start("--keep")
    lines = read_until(process, "curl ", count=2)
    told = "".join(lines)
    assert "ok      every expectation held\n" in told
    assert "FAILED" not in told
    assert "trying things out only" in lines[0]
    assert TABLE in told
    assert "fee          ok      1 OCEAN for 10 minutes" in told or "fee          ok      0.99" in told
    for text in ("10 Job started", "20 Configuring volumes", "40 Running algorithm", "70 Job completed"):
        assert text in told
    for label, text in (
        ("untrusted", "400 dataset: not_trusted_algo"),
        ("raw code", "400 dataset: no_raw_algo_allowed"),
        ("no order", "400 dataset.serviceId: order_invalid"),
        ("stranger", "400 dataset.serviceId: order_invalid"),
        ("their result", "404 Owner 0x"),
        ("the data", "400 Provider Ganache: Service with index="),
    ):
        assert f"{label:<12} ok      {text}" in told

    status_url, result_url = (line.split("'")[1] for line in lines if line.startswith("curl "))
    for _ in range(2):
        with urllib.request.urlopen(status_url) as reply:
            assert b'"status": 70' in reply.read()
    with urllib.request.urlopen(result_url) as reply:
        assert reply.read().startswith(b"station,days,mean_c,")
    with pytest.raises(urllib.error.HTTPError, match="400") as replayed:
        urllib.request.urlopen(result_url)
    replayed.value.close()

    sessions = sessions_of(process)
    assert len(sessions) >= 4
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "demo-secret" not in told + output
    assert leftovers(tmp_path, sessions) == []


@pytest.mark.usefixtures("sandbox")
def test_interrupted_job_leaves_nothing(tmp_path: Path, start: Start) -> None:
    process = start()
    read_until(process, "20 Configuring volumes")
    sessions = sessions_of(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()[-1]) == (130, "Interrupted; everything was shut down.")
    assert leftovers(tmp_path, sessions) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the right up")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_no_algorithm_runs_where_there_is_no_sandbox(tmp_path: Path, start: Start) -> None:
    process = start(through=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "this machine gives no sandbox without network (unshare: Operation not permitted)" in output
    assert "Start" not in output
    assert leftovers(tmp_path, set()) == []


# The operator service behind a real server


@pytest.fixture(scope="module")
def operator(children: Children, tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, str, str]:
    """The operator's process, its URL, and that of the server that is to be."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    place = ["--folder", str(tmp_path_factory.mktemp("operator")), "--provider", url]
    child = children.start("demo-operator", ["-m", "provider.demo.operator.service", "--watch-stdin", *place])
    return child, str(child.read_ready_line(READY_SECONDS)["url"]), url


@pytest.fixture(scope="module")
def cast(
    children: Children,
    chain: DemoChain,
    operator: tuple[Child, str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Cast:
    """A server with the demo's operator service."""
    _, operator_url, url = operator
    origin_url = str(launch_origin(children).read_ready_line(READY_SECONDS)["url"])
    folder = tmp_path_factory.mktemp("compute")
    settings = {"OPERATOR_SERVICE_URL": operator_url, "OCEAN_PROVIDER_URL": url}
    launch_server(children, chain, folder, settings, name="demo-compute").wait_ready()
    return Cast(chain, url, origin_url)


@pytest.fixture(scope="module")
def client(cast: Cast) -> ComputeConsumer:
    """A consumer of the one environment."""
    (environment,) = environments(cast.provider_url, cast.chain.contracts.chain_id)
    assert (environment["id"], environment["maxJobs"]) == (ENVIRONMENT, 1)
    assert "demo only" in environment["desc"].lower()
    return ComputeConsumer(cast.consumer, environment, cast.chain.wallet(DEPLOYER_KEY))


@pytest.fixture(scope="module")
def ordered(cast: Cast, client: ComputeConsumer) -> tuple[Published, str]:
    """A dataset that any program may read, and its order."""
    return order_open_dataset(cast, client, f"{cast.origin_url}/data.csv")


def order_open_dataset(cast: Cast, client: ComputeConsumer, url: str) -> tuple[Published, str]:
    dataset = publish_dataset(cast.publisher, url, name="Open to all jobs", compute={"allowRawAlgorithm": True})
    deadline = time.monotonic() + 60
    while (reply := client.quote(dataset, raw("pass"), seconds=600)).status != 200:
        assert time.monotonic() < deadline, reply.body
        time.sleep(0.1)
    cast.publisher.mint(dataset.datatokens[0], client.consumer.address)
    return dataset, client.order(dataset, reply.json()["datasets"][0])


def raw(program: str) -> dict[str, object]:
    return {"meta": {"rawcode": f"# at least ten characters\n{program}", "container": CONTAINER}}


def begin(client: ComputeConsumer, ordered: tuple[Published, str], program: str) -> str:
    reply = client.start(item(*ordered), raw(program))
    assert reply.status == 200, reply.body
    return str(reply.json()[0]["jobId"])


def wait_for(client: ComputeConsumer, job_id: str, *statuses: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (job := client.job(job_id))["status"] not in statuses:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def results(client: ComputeConsumer, job: dict[str, Any]) -> dict[str, str]:
    return {one["filename"]: client.result(job["jobId"], one["index"]).body.decode() for one in job["results"]}


@pytest.mark.usefixtures("sandbox")
def test_raw_code_finds_inputs_where_pods_have_them(client: ComputeConsumer, ordered: tuple[Published, str]) -> None:
    program = (
        "import json, os\n"
        "did, = json.loads(os.environ['DIDS'])\n"
        "lines = open(f'/data/inputs/{did}/0').read().splitlines()\n"
        "open('/data/outputs/lines \"1\".txt', 'w').write(str(len(lines)))\n"
    )
    job = wait_for(client, begin(client, ordered, program), 70, 31, 32)
    told = results(client, job)
    assert (job["status"], job["algoDID"], job["inputDID"]) == (70, "raw", [ordered[0].did])
    assert told['lines "1".txt'] == "201"
    assert client.result(job["jobId"], 0).headers["content-disposition"] == "attachment;filename=lines__1_.txt"


@pytest.mark.usefixtures("sandbox")
def test_program_that_fails_leaves_its_log(client: ComputeConsumer, ordered: tuple[Published, str]) -> None:
    job = wait_for(client, begin(client, ordered, "raise SystemExit('no such column')"), 70, 31, 32)
    told = results(client, job)
    assert (job["status"], told["algorithm.log"]) == (70, "no such column\n[demo pod] exit status 1\n")


@pytest.mark.usefixtures("sandbox")
def test_running_job_holds_its_order_until_it_is_stopped(
    client: ComputeConsumer, ordered: tuple[Published, str], operator: tuple[Child, str, str]
) -> None:
    job_id = begin(client, ordered, "import time\nprint('here', flush=True)\ntime.sleep(600)")
    assert wait_for(client, job_id, 40, 31, 32)["status"] == 40
    again = client.start(item(*ordered), raw("pass"))
    assert (again.status, again.json()) == (400, {"error": "`agreementId` already in use for other job."})
    early = client.result(job_id, 0)
    assert (early.status, early.json()) == (404, {"error": f"No results for job {job_id}"})
    jail = psutil.Process(operator[0].pid).children(recursive=True)
    nonce = client.consumer.next_nonce()
    address = client.consumer.address
    fields = {"consumerAddress": address, "jobId": job_id, "nonce": nonce}
    signature = client.consumer.sign(address + job_id, nonce)
    stopped = request("PUT", with_query(f"{client.base}/compute", {**fields, "signature": signature}))
    assert (stopped.status, stopped.json()[0]["stopreq"]) == (200, 1)
    assert list(results(client, wait_for(client, job_id, 70))) == ["configuration.log"]
    assert psutil.wait_procs(jail, timeout=60)[1] == []
    # The order is free again, and is left free.
    wait_for(client, begin(client, ordered, "pass"), 70, 31, 32)


def test_job_whose_input_is_gone_says_so(cast: Cast, client: ComputeConsumer) -> None:
    lost = order_open_dataset(cast, client, f"{cast.origin_url}/nothing")
    job = wait_for(client, begin(client, lost, "pass"), 70, 31, 32)
    assert (job["status"], job["statusText"]) == (31, "Data provisioning failed")
    log = results(client, job)["configuration.log"]
    assert lost[0].did in log
    assert cast.origin_url not in log
