"""`provider demo --compute`: publish, buy, run, fetch, and six attempts that must be refused, through a real server.

The operator service is the demo's own (`operator/`). The exit status is the verdict, as for the plain demo.
"""

import asyncio
import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from eth_account import Account

from provider import __version__
from provider.demo.operator.pod import ENVIRONMENT_KEY
from provider.demo.operator.sandbox import Limits, SandboxUnavailable, probe
from provider.demo.scenes.download import Cast
from provider.demo.scenes.report import Report, duration, size
from provider.demo.scenes.run import perform, stay_up, verdict
from provider.testing import algorithm as compute_algorithm
from provider.testing.algorithm import table
from provider.testing.chain.keys import DEPLOYER_KEY
from provider.testing.child import ChildFailed, Children
from provider.testing.http_client import Reply, ReplyRefused, request
from provider.testing.market.compute import (
    CONTAINER,
    ComputeConsumer,
    Json,
    environments,
    item,
    publish_algorithm,
    publish_dataset,
    token_text,
    trust,
    trusting_only,
)
from provider.testing.market.consumer import VISIBLE_SECONDS
from provider.testing.market.publisher import Published
from provider.testing.origin import small_csv
from provider.testing.ports import free_ports
from provider.testing.stage import READY_SECONDS, DemoServer, chain_ready, launch_chain, launch_origin, launch_server

PROGRAM = Path(compute_algorithm.__file__)
SECONDS_BOUGHT = 600
JOB_SECONDS = 90.0  # until the demo gives a job up
RESULT = "stations.csv"


@dataclass(frozen=True, slots=True)
class Goods:
    """The published assets: a dataset, the algorithm that it trusts, and one that it does not."""

    dataset: Published
    algorithm: Published
    copier: Published


@dataclass(frozen=True, slots=True)
class Bought:
    """Orders of dataset and algorithm, and the job that they paid for."""

    dataset_tx: str
    algorithm_tx: str
    job_id: str = ""


def publish(cast: Cast, report: Report) -> Goods:
    """Act as the publisher."""
    publisher = cast.publisher
    algorithm = publish_algorithm(publisher, f"{cast.origin_url}/algorithm.py?token=demo-secret", name="Station means")
    copier = publish_algorithm(publisher, f"{cast.origin_url}/copier.py?token=demo-secret", name="Copier")
    compute = trusting_only(trust(algorithm, PROGRAM.read_bytes()))
    url = f"{cast.origin_url}/data.csv?token=demo-secret"
    dataset = publish_dataset(publisher, url, name="Weather, for jobs only", compute=compute)
    report.line("dataset", f"{dataset.did}, for compute only")
    report.line("algorithm", f"{algorithm.did}, {PROGRAM.name}, {size(PROGRAM.stat().st_size)}")
    report.line("", "the dataset trusts this algorithm, with the checksums of its file and container, and no other")
    return Goods(dataset, algorithm, copier)


def buy(cast: Cast, report: Report, client: ComputeConsumer, goods: Goods) -> Bought:
    """Get a quote and place two orders, one of which pays the fee."""
    environment = client.environment
    price = f"{environment['priceMin']} OCEAN a minute"
    report.line("environment", f"{environment['id']}: {price}; its jobs download as {environment['consumerAddress']}")
    offers = first_quote(client, goods)
    told = [*offers["datasets"], offers["algorithm"]]
    amounts = [int(offer["providerFee"]["providerFeeAmount"]) for offer in told]
    text = f"{token_text(amounts[0])} OCEAN for {SECONDS_BOUGHT // 60} minutes, with the dataset; 0 with the algorithm"
    # The server's clock may have advanced some seconds since the end was chosen.
    full = int(float(environment["priceMin"]) * 10**18) * SECONDS_BOUGHT // 60
    holds = full * 97 // 100 <= amounts[0] <= full and amounts[1] == 0
    report.check(holds, "fee", text, otherwise=f"at most {token_text(full)}, and 0")
    paid = []
    for label, asset, offer in zip(("dataset", "algorithm"), (goods.dataset, goods.algorithm), told, strict=True):
        cast.publisher.mint(asset.datatokens[0], client.consumer.address)
        paid.append(client.order(asset, offer))
        report.line(label, f"ordered in {paid[-1]}")
    return Bought(*paid)


def first_quote(client: ComputeConsumer, goods: Goods) -> Json:
    """Call initializeCompute until the server has seen the assets on chain. Raises ReplyRefused."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        reply = client.quote(goods.dataset, item(goods.algorithm), seconds=SECONDS_BOUGHT)
        if reply.status == 200:
            offers: Json = reply.json()
            return offers
        if "did_not_found" not in reply.error_text() or time.monotonic() > deadline:
            raise ReplyRefused(reply)
        time.sleep(0.1)


def run_job(report: Report, client: ComputeConsumer, goods: Goods, bought: Bought) -> Json:
    """Start a job and report its status until it has ended. Raises ReplyRefused if it does not start."""
    began = time.monotonic()
    reply = client.start(item(goods.dataset, bought.dataset_tx), item(goods.algorithm, bought.algorithm_tx))
    if reply.status != 200:
        raise ReplyRefused(reply)
    job: Json = reply.json()[0]
    report.line("started", f"job {job['jobId']}")
    said = None
    while True:
        if job["status"] != said:
            said = job["status"]
            report.line("", f"{duration(time.monotonic() - began):>8}  {said:2d} {job['statusText']}")
        if job["dateFinished"] is not None or time.monotonic() - began > JOB_SECONDS:
            break
        time.sleep(0.05)
        job = client.job(job["jobId"])
    report.check(job["status"] == 70, "job", job["statusText"], otherwise="Job completed")
    return job


def fetch(report: Report, client: ComputeConsumer, job: Json, expected: str) -> None:
    """Fetch every result: check and show the table, show the logs."""
    for index, listed in enumerate(job["results"] or []):
        got = client.result(job["jobId"], index)
        report.line(f"result {index}", f"{listed['filename']} ({listed['type']}), {size(listed['filesize'])}")
        text = got.body.decode("utf-8", "replace")
        for line in text.splitlines():
            report.plain(f"      {_columns(line) if listed['filename'] == RESULT else line}")
        if listed["filename"] == RESULT:
            holds = got.status == 200 and text == expected
            report.check(holds, "result", "what the same program computes on the clear data", otherwise="the same")
    names = [listed["filename"] for listed in job["results"] or []]
    report.check(RESULT in names and len(names) == 3, "results", ", ".join(names), otherwise=f"{RESULT} and two logs")


def _columns(line: str) -> str:
    return "".join(f"{cell:<12}" for cell in line.split(",")).rstrip()


def refusals(cast: Cast, report: Report, client: ComputeConsumer, goods: Goods, bought: Bought) -> None:
    """Check that each attempt gets a clear refusal in one line that reveals nothing about the origin."""
    data, unpaid = item(goods.dataset, bought.dataset_tx), item(goods.dataset, goods.dataset.publish_tx)
    algorithm = item(goods.algorithm, bought.algorithm_tx)
    raw = {"meta": {"rawcode": "print(open('/data/inputs'))", "container": CONTAINER}}
    thief = ComputeConsumer(cast.stranger, client.environment, client.fee_source)
    direct = client.consumer.download_url
    attempts: tuple[tuple[str, int, str, Callable[[], Reply]], ...] = (
        ("untrusted", 400, "not_trusted_algo", lambda: client.start(data, item(goods.copier, bought.algorithm_tx))),
        ("raw code", 400, "no_raw_algo_allowed", lambda: client.start(data, raw)),
        ("no order", 400, "order_invalid", lambda: client.start(unpaid, algorithm)),
        ("stranger", 400, "order_invalid", lambda: thief.start(data, algorithm)),
        ("their result", 404, "mismatch", lambda: thief.result(bought.job_id, 0)),
        ("the data", 400, "not an access service", lambda: request("GET", direct(goods.dataset, bought.dataset_tx))),
    )
    for label, status, reason, attempt in attempts:
        reply = attempt()
        text = reply.error_text() if reply.status >= 400 else f"{len(reply.body)} bytes"
        holds = reply.status == status and reason in text and cast.hides_origin(reply.body)
        report.check(holds, label, f"{reply.status} {text}", otherwise=f"{status} with '{reason}'")


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts."""

    cast: Cast
    server: DemoServer
    operator_url: str


def run_compute_demo(
    *, keep: bool, out: TextIO, terminal: bool | None = None, environ: Mapping[str, str] | None = None
) -> int:
    """Run the demo and return its exit status; arguments as for `run_demo`."""
    return perform(
        lambda report, children, folder: _play(report, children, folder, keep=keep),
        out=out,
        terminal=terminal,
        environ=environ,
    )


def _play(report: Report, children: Children, folder: Path, *, keep: bool) -> None:
    began = time.monotonic()
    report.plain(f"Provider {__version__} compute-to-data demo. Its operator service is for trying things out only:")
    report.plain("no containers, no Kubernetes; algorithms run as sandboxed Python processes on this machine.")
    _check_sandbox(folder)
    stage = _set_up(report, children, folder, began)
    cast = stage.cast
    report.heading("Publish")
    goods = publish(cast, report)
    report.heading("Buy")
    (environment,) = environments(cast.provider_url, cast.chain.contracts.chain_id)
    client = ComputeConsumer(cast.consumer, environment, cast.chain.wallet(DEPLOYER_KEY))
    bought = buy(cast, report, client, goods)
    report.heading("Run: the program goes to the data, the consumer gets results only")
    job = run_job(report, client, goods, bought)
    bought = replace(bought, job_id=job["jobId"])
    report.heading("Results")
    expected = table(csv.DictReader(small_csv().decode().splitlines()))
    fetch(report, client, job, expected)
    report.heading("Who gets nothing")
    refusals(cast, report, client, goods, bought)
    report.heading("Summary")
    report.line("whole run", duration(time.monotonic() - began))
    verdict(report)
    if keep:
        _stay(report, stage, client, goods, bought)


def _check_sandbox(folder: Path) -> None:
    """Refuse before anything starts: without its sandbox, the demo runs no algorithm."""
    try:
        asyncio.run(probe(folder / "probe"))
    except SandboxUnavailable as error:
        raise ChildFailed(
            f"this machine gives no sandbox without network ({error}), and the demo runs no algorithm outside of one. "
            "It needs Linux namespaces: as a user, unprivileged user namespaces; as root, CAP_SYS_ADMIN."
        ) from error


def _set_up(report: Report, children: Children, folder: Path, began: float) -> Stage:
    """Start everything. The server's port is chosen first, because the operator's pods have to know it."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    chain_child, origin_child = launch_chain(children), launch_origin(children)
    place = ["--folder", str(folder), "--provider", url]
    operator_child = children.start("operator", ["-m", "provider.demo.operator.service", "--watch-stdin", *place])
    chain = chain_ready(chain_child)
    origin_url = str(origin_child.read_ready_line(READY_SECONDS)["url"])
    operator_url = str(operator_child.read_ready_line(READY_SECONDS)["url"])
    report.heading("Start")
    report.line("chain", f"{chain.url}, id {chain.contracts.chain_id}, Ocean contracts deployed")
    report.line("origin", origin_url)
    report.line("operator", f"{operator_url}, demo only; environment's key {Account.from_key(ENVIRONMENT_KEY).address}")
    limits = Limits()
    most = f"{limits.cpu_seconds} s of CPU, {size(limits.memory_bytes)} of memory"
    report.line("sandbox", f"no network, no files but the inputs and Python's own; at most {most}")
    settings = {"OPERATOR_SERVICE_URL": operator_url, "OCEAN_PROVIDER_URL": url}
    server = replace(launch_server(children, chain, folder, settings), url=url)
    server.wait_ready()
    report.line("server", f"{server.url}, OPERATOR_SERVICE_URL={operator_url}")
    report.line("ready", f"after {duration(time.monotonic() - began)}")
    return Stage(Cast(chain, server.url, origin_url), server, operator_url)


def _stay(report: Report, stage: Stage, client: ComputeConsumer, goods: Goods, bought: Bought) -> None:
    cast, server = stage.cast, stage.server
    report.heading("Everything stays up until Ctrl-C")
    for label, value in (
        ("provider", server.url),
        ("admin", f"{server.admin_url}/metrics"),
        ("operator", f"{stage.operator_url} (demo only)"),
        ("JSON-RPC", f"{cast.chain.url} (chain id {cast.chain.contracts.chain_id})"),
        ("origin", cast.origin_url),
        ("consumer", client.consumer.address),
        ("dataset", f"{goods.dataset.did}, order {bought.dataset_tx}"),
        ("algorithm", f"{goods.algorithm.did}, order {bought.algorithm_tx}"),
    ):
        report.line(label, value)
    report.plain("\nThe job, as often as you like, and its result, once:\n")
    report.plain(f"curl --fail-with-body '{client.status_url(bought.job_id)}'")
    report.plain(f"curl --fail-with-body '{client.result_url(bought.job_id, 0)}'")
    stay_up(report, server)
