"""Fuzz parsers of wire text: `python -m tests.fuzz [TARGET ...] --seconds 10`, or `--minutes N` for hours.

Every target gets this much time, each in a process of its own. With atheris the search is guided by coverage and
starts from the kept inputs; without it, they are edited at random. An input that breaks an invariant is written to
`--findings`. Exit status 1 when there was one, or when a target did not come to its end in time.

With `--runs N` every target gets the same N inputs each time, for CI: the same code gives the same result.
"""

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.model import CORPUS, Target
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

ROOT = CORPUS.parents[2]
GRACE_SECONDS = 60.0
# For a number of runs.
RUNS_SECONDS = 600.0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all if none is named: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each target")
    parser.add_argument("--minutes", type=float, help="time for each target, instead of --seconds")
    parser.add_argument("--runs", type=int, help="inputs for each target, always the same ones (atheris only)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for inputs that failed")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="targets at a time (atheris)")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    seconds = options.seconds if options.minutes is None else options.minutes * 60
    names = options.targets or list(TARGETS)
    has_atheris = importlib.util.find_spec("atheris") is not None
    if options.runs is not None and not has_atheris:
        parser.error("--runs needs atheris")
    if not has_atheris:
        held = [edited(TARGETS[name], seconds, options.findings) for name in names]
    else:
        limits, patience = _limits(seconds, options.runs)
        with ThreadPoolExecutor(options.jobs) as pool:
            held = list(pool.map(lambda name: guided(TARGETS[name], limits, patience, options.findings), names))
    failed = [name for name, holds in zip(names, held, strict=True) if not holds]
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "no invariant was broken")
    return 1 if failed else 0


def _limits(seconds: float, runs: int | None) -> tuple[list[str], float]:
    """Arguments that end libFuzzer, and the seconds after which it is killed."""
    if runs is None:
        return [f"-max_total_time={max(1, round(seconds))}"], seconds + GRACE_SECONDS
    return [f"-runs={runs}", "-seed=1"], RUNS_SECONDS


def guided(target: Target, limits: list[str], patience: float, findings: Path) -> bool:
    """Did all invariants hold under atheris? False also if it takes longer than `patience` (seconds): it is killed."""
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        command = [
            *(sys.executable, "-m", "tests.fuzz.guided", target.name),
            *(found, str(target.folder)),
            *limits,
            f"-artifact_prefix={findings.resolve()}/{target.name}-",
            *("-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"),
        ]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | {"PYTHONHASHSEED": "0"},
                capture_output=True,
                text=True,
                check=False,
                timeout=patience,
            )
        except subprocess.TimeoutExpired:
            print(f"{target.name}: FAILED: it was killed, because it had not ended after {patience:g} s")
            return False
    runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{target.name}: {runs[0] if runs else 'unknown'} runs, {'ok' if done.returncode == 0 else 'FAILED'}")
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
    return done.returncode == 0


def edited(target: Target, seconds: float, findings: Path) -> bool:
    """The same without coverage."""
    until, runs = time.monotonic() + seconds, 0
    dice, seeds = random.Random(), target.seeds()
    data = b""
    try:
        while time.monotonic() < until:
            data, runs = mutated(seeds, target.max_bytes, dice), runs + 1
            target.check(data)
    except Exception as error:
        findings.mkdir(parents=True, exist_ok=True)
        (findings / f"{target.name}-edited").write_bytes(data)
        print(f"{target.name}: {runs} runs, FAILED: {error!r}")
        return False
    print(f"{target.name}: {runs} runs, ok")
    return True


if __name__ == "__main__":
    sys.exit(main())
