"""Children of the demo: ready or explained, and never left behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from provider.testing.child import ChildFailed, Children, wait_until

READY = "print('{\"url\": 1}', flush=True); "
SLEEP = "import time; time.sleep(60)"


def gone(pid: int) -> bool:
    try:
        psutil.Process(pid).wait(60)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_early_end_shows_what_the_child_wrote_to_stderr(tmp_path: Path) -> None:
    with Children(str(tmp_path)) as children:
        child = children.start("chain", ["-c", "raise SystemExit('no such luck')"])
        with pytest.raises(ChildFailed, match=r"(?s)the chain ended with status 1:\nno such luck"):
            child.read_ready_line(20)


def test_child_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with Children(str(tmp_path)) as children:
        child = children.start("server", ["-c", SLEEP])
        with pytest.raises(ChildFailed, match=r"not ready within 0\.1 s"):
            child.read_ready_line(0.1)
        with pytest.raises(ChildFailed, match=r"not ready within 0\.1 s"):
            wait_until(lambda: False, child, timeout_seconds=0.1)


def test_leaving_the_block_ends_every_child_even_on_an_error(tmp_path: Path) -> None:
    pids = []

    def fail_with_two_children() -> None:
        with Children(str(tmp_path)) as children:
            for name in ("one", "two"):
                child = children.start(name, ["-c", READY + SLEEP])
                assert child.read_ready_line(20) == {"url": 1}
                pids.append(child.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_two_children()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_children_inherit_nothing_of_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_PRIVATE_KEY", "a real operator's key")
    code = "import json, os; print(json.dumps(dict(os.environ)), flush=True); " + SLEEP
    with Children(str(tmp_path), {"COMMON": "1"}) as children:
        seen = children.start("server", ["-c", code], {"OWN": "2"}).read_ready_line(20)
    assert "PROVIDER_PRIVATE_KEY" not in seen
    assert (seen["COMMON"], seen["OWN"]) == ("1", "2")


@pytest.mark.parametrize("module", ["provider.testing.chain.chain", "provider.testing.origin"])
def test_process_ends_when_its_parent_is_gone(module: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--watch-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None and process.stdin is not None  # noqa: PT018
        assert process.stdout.readline().startswith(b'{"url"')
        process.stdin.close()
        assert process.wait(60) == 0
