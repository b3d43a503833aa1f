"""Several workers: sums outlive them, gauges do not, and nothing is read twice or lost while one ends."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.observability.metrics import Board, Metrics
from provider.observability.metrics.board import FRESH_SECONDS, bury, write_restarts
from provider.observability.metrics.instruments import Snapshot
from provider.observability.metrics.processes import Processes
from provider.observability.metrics.values import Readings, merge, snapshot_of

OTHER = 999_999_999


def snapshot(requests: int, workers: int = 1, up: int = 1, height: int = 5) -> Snapshot:
    return {
        "provider_requests_total": [(["nonce", "200"], requests)],
        "provider_workers": [([], workers)],
        "provider_rpc_endpoint_up": [(["1", "1"], up)],
        "provider_chain_block_height": [(["1"], height)],
        "provider_nonce_commit_seconds": [([], [0.5, *([1] * 14)])],
    }


class Counted:
    """Metrics of one worker that are what a test says."""

    is_on = True

    def __init__(self, values: Snapshot) -> None:
        self.values = values
        self.processes = Processes()

    def snapshot(self) -> Snapshot:
        return self.values


def board_of(directory: Path, values: Snapshot | None = None, **figures: object) -> Board:
    counted: Any = Counted(values or {})
    return Board(counted, lambda _: figures, str(directory))


def write_other(
    directory: Path,
    values: Snapshot,
    process_id: int = OTHER,
    identity: str = "other",
    figures: dict[str, object] | None = None,
) -> Path:
    path = directory / f"{process_id}.json"
    path.write_bytes(orjson.dumps(([identity], values, figures)))
    return path


def grow_old(path: Path, seconds: float) -> None:
    stat = path.stat()
    os.utime(path, (stat.st_atime, stat.st_mtime - seconds))


def requests_in(readings: Readings) -> object:
    return readings["provider_requests_total"].get(("nonce", "200"))


def test_sums_are_added_and_gauges_merged_as_their_family_says(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(5, up=0, height=9))
    readings = board_of(tmp_path, snapshot(2)).read()
    assert requests_in(readings) == 7
    assert readings["provider_workers"][()] == 2
    assert readings["provider_rpc_endpoint_up"][("1", "1")] == 0
    assert readings["provider_chain_block_height"][("1",)] == 9
    assert readings["provider_nonce_commit_seconds"][()] == [1.0, *([2] * 14)]


def test_of_a_worker_that_has_ended_the_sums_stay_and_the_gauges_go(tmp_path: Path) -> None:
    for number in range(3):
        write_other(tmp_path, snapshot(5), process_id=OTHER + number, identity=f"other-{number}")
        bury(str(tmp_path), OTHER + number)
    readings = board_of(tmp_path, snapshot(2)).read()
    assert requests_in(readings) == 17
    assert readings["provider_workers"][()] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ended.json"]


def test_a_worker_between_its_file_and_the_sums_counts_once(tmp_path: Path) -> None:
    """Its values are among those of the ended, and its own file is not gone yet."""
    values = snapshot(5)
    write_other(tmp_path, values)
    bury(str(tmp_path), OTHER)
    write_other(tmp_path, values)
    assert requests_in(board_of(tmp_path, snapshot(2)).read()) == 7


def test_a_process_id_that_comes_again_is_another_worker(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(5), identity="first")
    bury(str(tmp_path), OTHER)
    write_other(tmp_path, snapshot(3), identity="second")
    assert requests_in(board_of(tmp_path, snapshot(0)).read()) == 8


def test_our_own_file_is_not_read_beside_us(tmp_path: Path) -> None:
    board_of(tmp_path, snapshot(2)).write()
    assert requests_in(board_of(tmp_path, snapshot(3)).read()) == 3


def test_what_the_supervisor_counts_is_told_by_any_worker(tmp_path: Path) -> None:
    for died in (1, 2):
        write_restarts(str(tmp_path), {"died": died, "reload": 4})
    board = Board(Metrics(), lambda _: {}, str(tmp_path))
    assert board.read()["provider_worker_restarts_total"] == {("died",): 2, ("reload",): 4}
    assert dict(board.silent_seconds()) == {}


def test_half_a_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / f"{OTHER}.json").write_bytes(b'[["x"], {"provider_')
    assert requests_in(board_of(tmp_path, snapshot(2)).read()) == 2
    bury(str(tmp_path), OTHER)
    assert not (tmp_path / "ended.json").exists()


def test_a_worker_that_writes_nothing_is_silent(tmp_path: Path) -> None:
    grow_old(write_other(tmp_path, snapshot(1)), 60)
    board = board_of(tmp_path)
    board.write()
    assert board.silent_seconds() == {OTHER: pytest.approx(60, abs=10)}


def test_without_a_directory_there_are_no_others() -> None:
    board = Board(Metrics(), lambda _: {"pid": 1})
    board.write()
    assert board.watch() == [{"pid": 1}]
    assert board.silent_seconds() == {}
    assert board.read()["provider_workers"] == {(): 1}


def shown_by(directory: Path) -> object:
    return orjson.loads((directory / f"{os.getpid()}.json").read_bytes())[2]


def test_figures_are_shown_only_while_somebody_watches(tmp_path: Path) -> None:
    board = board_of(tmp_path, pid=1)
    board.write()
    assert shown_by(tmp_path) is None
    assert board.watch() == [{"pid": 1}]
    board.write()
    assert shown_by(tmp_path) == {"pid": 1}
    grow_old(tmp_path / "watched", 2 * FRESH_SECONDS)
    board.write()
    assert shown_by(tmp_path) is None


def test_who_watches_sees_its_own_figures_and_recent_ones_of_others(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(1), 1, figures={"pid": 1})
    write_other(tmp_path, snapshot(1), 2)
    grow_old(write_other(tmp_path, snapshot(1), 3, figures={"pid": 3}), 2 * FRESH_SECONDS)
    (tmp_path / "4.json").write_bytes(b"{broken")
    assert board_of(tmp_path, pid=5).watch() == [{"pid": 5}, {"pid": 1}]


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 8))
def test_any_split_into_living_and_ended_gives_the_same_sum(counts: list[int], ended: int) -> None:
    snapshots = [snapshot(count) for count in counts]
    readings = merge(snapshots[ended:], [snapshot_of(merge([], snapshots[:ended]))])
    assert (requests_in(readings) or 0) == sum(counts)


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**64), 2**255, 7])
def test_no_number_keeps_a_worker_from_writing(tmp_path: Path, value: int) -> None:
    """Whose file is too old counts as stuck, and is restarted. Nodes say what they like."""
    mine, other = Metrics(), Metrics()
    mine.chains.block_height.set(value, 1)
    Board(mine, lambda _: {}, str(tmp_path)).write()
    (tmp_path / f"{os.getpid()}.json").rename(tmp_path / f"{OTHER}.json")
    found = Board(other, lambda _: {}, str(tmp_path)).read()["provider_chain_block_height"]
    assert found["1",] == pytest.approx(value)
