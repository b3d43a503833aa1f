"""The soak of `soak.py`, short; `--soak` makes it minutes."""

import pytest

from tests.faults.soak import run, run_attack

SHORT_SECONDS, LONG_SECONDS = 5.0, 300.0


def test_no_invariant_breaks_under_a_mixed_load_with_random_faults(request: pytest.FixtureRequest) -> None:
    outcomes = run(LONG_SECONDS if request.config.getoption("--soak") else SHORT_SECONDS, seed=8030)
    assert outcomes["200"] > 20
    assert outcomes["200 cut"] > 0


def test_nothing_drifts_under_attack(request: pytest.FixtureRequest) -> None:
    outcomes = run_attack(LONG_SECONDS if request.config.getoption("--soak") else SHORT_SECONDS, seed=8031)
    assert outcomes["200"] > 0
