"""From exec to the first answer, the imports on the way, and the memory of an idle server."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, processes
from benchmarks.measure import progress
from benchmarks.options import Options
from benchmarks.result import Result, Row, figure
from benchmarks.transfers import circumstances
from provider.testing.child import Children, bare_environ, wait_until
from provider.testing.http_client import request
from provider.testing.stage import DemoChain, chain_ready, launch_chain, launch_server

QUESTION = "How long from exec until the server answers, what does it import, and what does it hold while idle?"
CASE = "start"
ANSWER = "s to the first answer"
IDLE_RSS = "idle RSS MB"
WORKERS = (1, 2)
IDLE_SECONDS = 1.0
POLL_SECONDS = 0.002
MODULES = (
    "import sys, provider.__main__, provider.process.server, provider.process.worker; "
    "print(len(sys.modules), 'web3' in sys.modules)"
)
NOTES = (
    "First answer: 200 to GET /. Ready: /readyz says so, which needs the chain and the nonce store.",
    "Idle RSS: all processes, a second after they were ready; pages that workers share with each other count twice.",
    "Import: a Python that imports what serves and ends, less a Python that imports nothing.",
)


@dataclass(frozen=True, slots=True)
class Start:
    """One start. Seconds since exec, and CPU time until one second after it was ready."""

    variant: str
    round: int
    answer_seconds: float
    ready_seconds: float
    cpu_seconds: float
    import_seconds: float
    modules: int
    web3_imported: bool
    rss_bytes: int


def run(options: Options) -> Result:
    """Start and stop servers against one chain."""
    load_before = machine.load_average()
    with tempfile.TemporaryDirectory(prefix="provider-bench-", dir=options.storage) as name:
        folder = Path(name)
        with Children(name) as children:
            chain = chain_ready(launch_chain(children))
            starts = []
            for round_number in range(options.rounds):
                progress(f"{CASE}: round {round_number + 1} of {options.rounds}")
                starts += [_start(chain, folder, workers, round_number) for workers in WORKERS]
    rows = tuple(_row(variant, [each for each in starts if each.variant == variant]) for variant in map(_name, WORKERS))
    facts = (*machine.facts(), *circumstances(load_before, options))
    return Result("start_up", QUESTION, facts, NOTES, rows, tuple(starts))


def _name(workers: int) -> str:
    return f"provider, {workers} worker{'s' if workers > 1 else ''}"


def _start(chain: DemoChain, folder: Path, workers: int, round_number: int) -> Start:
    import_seconds, modules, web3_imported = _imports(folder)
    name = f"start-{workers}-{round_number}"
    with Children(str(folder)) as children:
        began = time.monotonic()
        server = launch_server(children, chain, folder, {"PROVIDER_WORKERS": str(workers)}, name=name)
        while not _answers(server.url) and time.monotonic() - began < 30:
            time.sleep(POLL_SECONDS)
        answer_seconds = time.monotonic() - began
        wait_until(lambda: _answers(f"{server.admin_url}/readyz"), server.child, timeout_seconds=30)
        ready_seconds = time.monotonic() - began
        time.sleep(IDLE_SECONDS)
        pids = processes.tree(server.child.pid)
        return Start(
            variant=_name(workers),
            round=round_number,
            answer_seconds=answer_seconds,
            ready_seconds=ready_seconds,
            cpu_seconds=processes.cpu_seconds(pids),
            import_seconds=import_seconds,
            modules=modules,
            web3_imported=web3_imported,
            rss_bytes=processes.rss_bytes(pids),
        )


def _imports(folder: Path) -> tuple[float, int, bool]:
    """Return the seconds that importing the server takes, the number of modules, and whether web3 is one of them."""
    environ = bare_environ(str(folder))
    bare_seconds, _ = _timed("pass", environ)
    seconds, said = _timed(MODULES, environ)
    modules, web3_imported = said.split()
    return seconds - bare_seconds, int(modules), web3_imported == "True"


def _timed(code: str, environ: Mapping[str, str]) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, cwd=os.sep
    )
    return time.monotonic() - began, done.stdout


def _answers(url: str) -> bool:
    try:
        return request("GET", url).status == 200
    except OSError:
        return False


def _row(variant: str, starts: list[Start]) -> Row:
    return Row(
        CASE,
        variant,
        (
            *figure(ANSWER, [start.answer_seconds for start in starts], 3),
            *figure("s to ready", [start.ready_seconds for start in starts], 3),
            *figure("CPU s", [start.cpu_seconds for start in starts], 3),
            *figure("import s", [start.import_seconds for start in starts], 3),
            *figure("modules", [start.modules for start in starts]),
            *figure("web3 imported", [float(start.web3_imported) for start in starts]),
            *figure(IDLE_RSS, [start.rss_bytes / 1e6 for start in starts], 1),
        ),
    )
