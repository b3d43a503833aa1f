"""The zero-copy path once more as an unprivileged user, whose pipes are limited as root's are not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.measured import unmeasured_environ

ROOT = Path(__file__).parents[2]
CORE = (
    "tests/contract/test_splice.py",
    "tests/contract/test_relay.py::test_a_body_arrives_whole",
    "tests/unit/streaming/test_pipes.py",
)
NOBODY = "65534"
# The interpreter may lie in root's home: reading is allowed everywhere, and nothing else is.
CAPABILITIES = "-all,+dac_read_search"


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run unprivileged as it is")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_everything_holds_for_an_unprivileged_user() -> None:
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become += [f"--{kind}-caps={CAPABILITIES}" for kind in ("inh", "ambient")] + [f"--bounding-set={CAPABILITIES}"]
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-n0", "-rs", "-p", "no:cacheprovider", *CORE]
    # Nobody may write the measurements of coverage here.
    environment = {**unmeasured_environ(), "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        become + pytest_run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "the limit is for unprivileged users" not in ran.stdout
