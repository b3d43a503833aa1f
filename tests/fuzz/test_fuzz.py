"""The targets of this folder as ordinary tests: every kept input, and a thousand edits of them, always the same."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import guided
from tests.fuzz.model import CORPUS, Target
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

EDITS = 1000
MAX_SEED_BYTES = 4096


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_invariants_hold_for_every_kept_input(target: Target) -> None:
    for seed in (b"", *target.seeds()):
        target.check(seed)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_invariants_hold_for_edited_inputs(target: Target) -> None:
    dice, seeds = random.Random(target.name), target.seeds()
    for _ in range(EDITS):
        data = mutated(seeds, target.max_bytes, dice)
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def test_every_target_keeps_a_small_corpus() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    for target in TARGETS.values():
        seeds = target.seeds()
        assert 3 <= len(seeds) <= 64
        assert all(len(seed) <= min(target.max_bytes, MAX_SEED_BYTES) for seed in seeds)


def test_the_command_runs_a_target(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "content_range", "--seconds", "1", "--findings", str(tmp_path)]
    done = subprocess.run(command, cwd=CORPUS.parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "content_range: " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_does_not_end_in_time_is_named_and_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not guided(TARGETS["content_range"], [], patience=0.0, findings=tmp_path)
    assert capsys.readouterr().out == "content_range: FAILED: it was killed, because it had not ended after 0 s\n"
