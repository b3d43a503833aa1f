"""`provider demo --compute` from curtain to curtain: one compute-to-data job through a real server.

The operator service is the demo's own (`operator.py`). The verdict is the exit status, as for the plain demo.
"""

import asyncio
import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from eth_account import Account

from provider import __version__
from provider.demo.chain.keys import DEPLOYER_KEY
from provider.demo.child import ChildFailed, Children
from provider.demo.market.compute import ComputeConsumer, environments
from provider.demo.operator.algorithm import table
from provider.demo.operator.pod import ENVIRONMENT_KEY
from provider.demo.operator.sandbox import Limits, SandboxUnavailable, probe
from provider.demo.origin import small_csv
from provider.demo.ports import free_ports
from provider.demo.scenes.compute import Bought, Goods, buy, fetch, publish, refusals, run_job
from provider.demo.scenes.download import Cast
from provider.demo.scenes.report import Report, duration, size
from provider.demo.scenes.run import perform, stay_up, verdict
from provider.demo.stage import READY_SECONDS, DemoServer, chain_ready, launch_chain, launch_origin, launch_server


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    cast: Cast
    server: DemoServer
    operator_url: str


def run_compute_demo(
    *, keep: bool, out: TextIO, terminal: bool | None = None, environ: Mapping[str, str] | None = None
) -> int:
    """Run the demo and return its exit status; arguments as of `run_demo`."""
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
    """Refuse before anything is started: without its sandbox the demo runs no algorithm."""
    try:
        asyncio.run(probe(folder / "probe"))
    except SandboxUnavailable as error:
        raise ChildFailed(
            f"this machine gives no sandbox without network ({error}), and the demo runs no algorithm outside of one. "
            "It needs Linux namespaces: as a user, unprivileged user namespaces; as root, CAP_SYS_ADMIN."
        ) from error


def _set_up(report: Report, children: Children, folder: Path, began: float) -> Stage:
    """Everything up. The server's port comes first, since the pods of the operator have to know it."""
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
