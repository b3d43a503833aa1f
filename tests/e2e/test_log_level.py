"""The level of the log, as settings and signals change it: all workers have the same, whenever they were started."""

import os
import signal
from pathlib import Path

from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_observing import ask_nonce, lines
from tests.e2e.test_reload import all_pids_of, ended, pids_of
from tests.support.origin import wait_until


def wait_for_workers(own: DemoServer, *, other_than: set[int]) -> None:
    """Until two serve, and none of these is left."""
    wait_until(lambda: len(pids_of(own)) == 2 and not pids_of(own) & other_than)


def turn(own: DemoServer, expected: list[str]) -> None:
    """Send the signal; the levels that workers have told of since their start are then these."""
    os.kill(own.child.pid, signal.SIGUSR1)
    wait_until(lambda: len(lines(own, "log level changed")) >= len(expected))
    assert [line["level"] for line in lines(own, "log level changed")] == expected


def test_reload_takes_the_level_of_its_moment_in_workers_and_supervisor(launch: LaunchServer, tmp_path: Path) -> None:
    config = tmp_path / "provider.toml"
    config.write_text("[log]\nlevel = 'WARNING'\n")
    own = launch(PROVIDER_WORKERS="2", PROVIDER_CONFIG_FILE=str(config), LOG_LEVEL="")
    before = all_pids_of(own)
    ask_nonce(own, "before")
    config.write_text("[log]\nlevel = 'INFO'\n")
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: len(lines(own, "listening")) == 2)
    # The supervisor takes it when the last successor serves, and so tells of this one at least.
    wait_until(lambda: len(lines(own, "old worker has finished")) >= 1)
    wait_for_workers(own, other_than=before)
    ask_nonce(own, "after")
    wait_until(lambda: len(lines(own, "request")) == 1)
    assert lines(own, "request")[0]["request_id"] == "after"
    assert ended(own) == 0


def test_workers_started_while_the_level_is_debug_have_it_and_go_back_with_the_others(launch: LaunchServer) -> None:
    own = launch(PROVIDER_WORKERS="2", LOG_LEVEL="INFO")
    wait_until(lambda: len(lines(own, "listening")) == 2)
    first, other = sorted(all_pids_of(own))
    turn(own, ["DEBUG"] * 2)
    os.kill(other, signal.SIGKILL)
    wait_until(lambda: len(lines(own, "listening")) == 3)
    turn(own, ["DEBUG"] * 2 + ["INFO"] * 2)
    turn(own, ["DEBUG"] * 2 + ["INFO"] * 2 + ["DEBUG"] * 2)
    before = all_pids_of(own) | {first}
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: len(lines(own, "listening")) == 5)
    wait_for_workers(own, other_than=before)
    turn(own, ["DEBUG"] * 2 + ["INFO"] * 2 + ["DEBUG"] * 2 + ["INFO"] * 2)
    assert ended(own) == 0
