"""The benchmarks' own smoke test: the commands work end to end on sizes that measure nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import machine
from benchmarks import stage as stages
from benchmarks.options import Options
from benchmarks.scripts.links import link_paths
from benchmarks.signing import Purchase
from benchmarks.stage import Needs, Stage
from provider.testing.http_client import request
from tests.support.measured import unmeasured_environ

ROOT = Path(__file__).parents[2]
FILE_BYTES = 3_000_000


def run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {**unmeasured_environ(), "PYTHONPATH": str(ROOT)}
    command_line = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command_line, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


@dataclass(frozen=True)
class Bought:
    """A running server, an order there, and the arguments that tell `against` about them."""

    stage: Stage
    purchase: Purchase
    key_path: Path

    def arguments(self, *more: str) -> list[str]:
        bought = self.purchase
        what = ["--did", bought.did, "--service", bought.service_id, "--order", bought.order_tx]
        return ["against", self.stage.servers["provider"].url, "--signer-key-file", str(self.key_path), *what, *more]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bought]:
    folder = tmp_path_factory.mktemp("benchmarks")
    with stages.opened(Needs([FILE_BYTES]), Options(storage=folder)) as stage:
        purchase = stage.buy(1)[0]
        key_path = folder / "consumer.key"
        key_path.write_text(f"0x{purchase.signer.key.secret.hex()}\n")
        yield Bought(stage, purchase, key_path)


def test_list_names_every_script_with_its_question(capsys):
    assert command.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = {path.stem for path in (ROOT / "benchmarks" / "scripts").glob("*.py")} - {"__init__"}
    assert {line.split()[0] for line in lines} == names
    assert all(line.endswith("?") for line in lines)


def test_a_run_is_written_and_reported(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need the extra test-deploy")
    sizes = ("--rounds", "1", "--seconds", "0.2", "--only", "1 KiB, 1 connection", "--variants", "provider")
    ran = run_command("run", "warm_download", *sizes, "--results", str(tmp_path), "--storage", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / "warm_download.json").read_text())
    assert [(row["case"], row["variant"]) for row in result["rows"]] == [("1 KiB, 1 connection", "provider")]
    figures = {figure["title"]: figure["median"] for figure in result["rows"][0]["figures"]}
    assert figures["upstream/request"] == 1.0
    assert figures["CPU µs/request"] > 0

    page = tmp_path / "RESULTS.md"
    assert command.main(["report", "--results", str(tmp_path), "--output", str(page)]) == 0
    text = page.read_text()
    assert "| provider |" in text
    assert "![warm_download](./warm_download.png)" in text
    assert "Sizing a deployment" in text
    assert (tmp_path / "warm_download.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_is_measured_at_each_of_its_sizes(tmp_path):
    ran = run_command("run", "growth", "--quick", "--rounds", "1", "--only", "memory", "--results", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    rows = {row["case"]: row["figures"] for row in json.loads((tmp_path / "growth.json").read_text())["rows"]}
    assert len([case for case in rows if case.startswith("bucket of a new client")]) == 3
    assert rows["receipt of 50 orders"][0]["median"] == 0.0
    assert 60 < rows["2,000 DDOs of 1 MB"][0]["median"] <= (64 << 20) / 1e6


@pytest.mark.parametrize(
    ("name", "only", "variant", "figure", "least", "most"),
    [
        ("distant_origin", "20 ms, 64 KiB of", "provider, read-ahead", "p50 ms", 20, 60_000),
        ("cold_disk", "beside", "provider", "p99 ms", 0.1, 60_000),
        ("cache_sizes", "traffic", "cache of 100 %", "origin bytes/byte", 0.0, 0.6),
        ("cached_files_plain", "fill, 50", "Varnish", "origin bytes/byte", 0.02, 0.02),
    ],
    ids=["distant_origin", "cold_disk", "cache_sizes", "cached_files_plain"],
)
def test_a_script_runs_on_sizes_that_measure_nothing(tmp_path, capsys, name, only, variant, figure, least, most):
    sizes = ("--rounds", "1", "--seconds", "0.1", "--size", str(4 << 20))
    what = ("--only", only, "--variants", variant)
    status = command.main(["run", name, *sizes, *what, "--results", str(tmp_path), "--storage", str(tmp_path)])
    told = capsys.readouterr().err
    if "skipped, because" in told:
        pytest.skip(told.splitlines()[-1])
    assert status == 0, told
    (row,) = [row for row in json.loads((tmp_path / f"{name}.json").read_text())["rows"] if row["variant"] == variant]
    assert least <= {each["title"]: each["median"] for each in row["figures"]}[figure] <= most


def test_another_interpreter_runs_the_same_server(tmp_path):
    sizes = ("--rounds", "1", "--seconds", "0.1", "--only", "1 connection", "--results", str(tmp_path))
    assert command.main(["run", "interpreters", *sizes, "--interpreter", sys.executable]) == 0
    rows = json.loads((tmp_path / "interpreters.json").read_text())["rows"]
    assert {row["variant"] for row in rows} >= {"provider", f"provider, {machine.interpreter_name()}"}


def test_an_interpreter_that_cannot_be_measured_is_refused(tmp_path, capsys):
    twice = ("--interpreter", sys.executable, "--interpreter", sys.executable)
    assert command.main(["run", "interpreters", "--results", str(tmp_path), *twice]) == 1
    assert "Leave one out" in capsys.readouterr().err
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    refused = ((bare, "No module named"), (tmp_path / "missing", "does not run"), (silent, "status 3"))
    for path, reason in refused:
        assert command.main(["run", "interpreters", "--results", str(tmp_path), "--interpreter", str(path)]) == 1
        told = capsys.readouterr().err
        assert f"--interpreter {path}" in told
        assert reason in told


def test_a_purchase_becomes_a_link_to_each_file(bought):
    url = bought.stage.servers["provider"].url
    (path,) = link_paths(url, bought.purchase)
    assert len(request("GET", url + path).body) == FILE_BYTES


def test_against_measures_a_deployment_within_its_bounds(bought, capsys):
    status = command.main(bought.arguments("--requests", "7", "--connections", "3", "--seconds", "20"))
    said = capsys.readouterr()
    assert status == 0, said
    assert "7 whole, 0 cut off at a bound, 0 failed" in said.out
    assert f"{7 * FILE_BYTES / 1e6:.3f} MB" in said.out
    assert bought.purchase.signer.key.secret.hex() not in said.out + said.err


def test_against_ends_when_its_bytes_are_used_up(bought, capsys):
    assert command.main(bought.arguments("--bytes", "1", "--requests", "50")) == 0
    assert "0 whole, 1 cut off" in capsys.readouterr().out


def test_against_tells_refusals_and_stops_asking(bought, capsys):
    assert command.main(bought.arguments("--file-index", "9", "--requests", "500")) == 1
    out = capsys.readouterr().out
    assert "0 whole, 0 cut off at a bound, 5 failed" in out
    assert "400: " in out


@pytest.mark.parametrize(
    "more",
    [("--connections", "100000"), ("--seconds", "86400"), ("--requests", "0"), ("--bytes", "1e18")],
    ids=lambda more: more[0].strip("-"),
)
def test_against_refuses_absurd_bounds(more, capsys):
    needed = ["--signer-key-file", "x", "--did", "d", "--service", "s", "--order", "t"]
    with pytest.raises(SystemExit) as ended:
        command.main(["against", "http://127.0.0.1:1", *needed, *more])
    assert ended.value.code == 2
    assert more[0] in capsys.readouterr().err


def test_an_unusable_key_is_never_shown(tmp_path, capsys):
    secret = "c0ffee" * 11
    path = tmp_path / "key"
    path.write_text(secret)
    needed = ["--signer-key-file", str(path), "--did", "d", "--service", "s", "--order", "t"]
    assert command.main(["against", "http://127.0.0.1:1", *needed]) == 2
    said = capsys.readouterr()
    assert "does not hold 64 hex digits" in said.err
    assert secret not in said.out + said.err
