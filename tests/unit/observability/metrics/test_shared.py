"""Several workers: sums outlive them, gauges do not, and nothing is read twice or lost while one ends."""

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.observability.metrics.shared import SharedMetrics, bury, tell_restarts
from provider.observability.metrics.values import Readings, Snapshot, merge, snapshot_of

OTHER = 999_999_999


def snapshot(requests: int, workers: int = 1, up: int = 1, height: int = 5) -> Snapshot:
    return {
        "provider_requests_total": [(["nonce", "200"], requests)],
        "provider_workers": [([], workers)],
        "provider_rpc_endpoint_up": [(["1", "1"], up)],
        "provider_chain_block_height": [(["1"], height)],
        "provider_nonce_commit_seconds": [([], [0.5, *([1] * 14)])],
    }


def write_other(directory: Path, values: Snapshot, process_id: int = OTHER, identity: str = "other") -> None:
    (directory / f"{process_id}.json").write_bytes(orjson.dumps(([identity], values)))


def requests_in(readings: Readings) -> object:
    return readings["provider_requests_total"].get(("nonce", "200"))


def test_sums_are_added_and_gauges_merged_as_their_family_says(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(5, up=0, height=9))
    readings = SharedMetrics(str(tmp_path)).read(snapshot(2))
    assert requests_in(readings) == 7
    assert readings["provider_workers"][()] == 2
    assert readings["provider_rpc_endpoint_up"][("1", "1")] == 0
    assert readings["provider_chain_block_height"][("1",)] == 9
    assert readings["provider_nonce_commit_seconds"][()] == [1.0, *([2] * 14)]


def test_of_a_worker_that_has_ended_the_sums_stay_and_the_gauges_go(tmp_path: Path) -> None:
    shared = SharedMetrics(str(tmp_path))
    for number in range(3):
        write_other(tmp_path, snapshot(5), process_id=OTHER + number, identity=f"other-{number}")
        bury(str(tmp_path), OTHER + number)
    readings = shared.read(snapshot(2))
    assert requests_in(readings) == 17
    assert readings["provider_workers"][()] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ended.json"]


def test_a_worker_between_its_file_and_the_sums_counts_once(tmp_path: Path) -> None:
    """Its values are among those of the ended, and its own file is not gone yet."""
    values = snapshot(5)
    write_other(tmp_path, values)
    bury(str(tmp_path), OTHER)
    write_other(tmp_path, values)
    assert requests_in(SharedMetrics(str(tmp_path)).read(snapshot(2))) == 7


def test_a_process_id_that_comes_again_is_another_worker(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(5), identity="first")
    bury(str(tmp_path), OTHER)
    write_other(tmp_path, snapshot(3), identity="second")
    assert requests_in(SharedMetrics(str(tmp_path)).read(snapshot(0))) == 8


def test_our_own_file_is_not_read_beside_us(tmp_path: Path) -> None:
    shared = SharedMetrics(str(tmp_path))
    shared.write(snapshot(2))
    assert requests_in(shared.read(snapshot(3))) == 3


def test_what_the_supervisor_counts_is_told_by_any_worker(tmp_path: Path) -> None:
    for died in (1, 2):
        tell_restarts(str(tmp_path), {"died": died, "reload": 4})
    shared = SharedMetrics(str(tmp_path))
    readings = shared.read({"provider_worker_restarts_total": [(["died"], 0), (["reload"], 0)]})
    assert readings["provider_worker_restarts_total"] == {("died",): 2, ("reload",): 4}
    assert dict(shared.silent_seconds()) == {}


def test_half_a_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / f"{OTHER}.json").write_bytes(b'[["x"], {"provider_')
    assert requests_in(SharedMetrics(str(tmp_path)).read(snapshot(2))) == 2
    bury(str(tmp_path), OTHER)
    assert not (tmp_path / "ended.json").exists()


def test_a_worker_that_writes_nothing_is_silent(tmp_path: Path) -> None:
    write_other(tmp_path, snapshot(1))
    path = tmp_path / f"{OTHER}.json"
    stat = path.stat()
    os.utime(path, (stat.st_atime, stat.st_mtime - 60))
    assert SharedMetrics(str(tmp_path)).silent_seconds()[OTHER] == pytest.approx(60, abs=10)


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 8))
def test_any_split_into_living_and_ended_gives_the_same_sum(counts: list[int], ended: int) -> None:
    snapshots = [snapshot(count) for count in counts]
    readings = merge(snapshots[ended:], [snapshot_of(merge([], snapshots[:ended]))])
    assert (requests_in(readings) or 0) == sum(counts)
