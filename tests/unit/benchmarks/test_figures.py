"""What samples become: figures, verdicts and rows of the sizing table."""

from dataclasses import replace

import pytest

from benchmarks import beside, goals, nginx, sizing
from benchmarks.options import Options
from benchmarks.result import HIT, SPREAD, UPSTREAM_BYTES, Case, Figure, Result, Row, Sample, transfer_figures
from benchmarks.scripts import distant_origin, links

SAMPLE = Sample(
    case="c",
    variant="v",
    round=0,
    seconds=1.0,
    requests=50,
    body_bytes=50_000,
    cpu_seconds=0.5,
    p50_seconds=0.2,
    p99_seconds=0.3,
    first_byte_p50_seconds=0.1,
    first_byte_p99_seconds=0.15,
    peak_rss_bytes=1,
    upstream_requests=2,
    rpc_round_trips=None,
    upstream_bytes=1050,
    first_byte_min_seconds=0.1,
)
FILL = Case("c", "GB", 50, 1, 1000, requests=1)


def medians(case: Case, sample: Sample = SAMPLE) -> dict[str, float]:
    return {each.title: each.median for each in transfer_figures(case, [sample])}


def result(script: str, *rows: tuple[str, str, str, float]) -> Result:
    found = tuple(Row(case, variant, (Figure(title, value, value, value),)) for case, variant, title, value in rows)
    return Result(script, "?", (), (), found)


def test_origin_bytes_are_told_for_each_byte_that_consumers_got():
    assert medians(FILL)[UPSTREAM_BYTES] == pytest.approx(0.021)
    assert UPSTREAM_BYTES not in medians(FILL, replace(SAMPLE, upstream_bytes=None))


def test_the_last_first_byte_is_compared_with_the_first():
    assert medians(FILL)[SPREAD] == pytest.approx(1.5)
    # The 99th percentile of more connections is not the last one, and of one there is no other.
    assert SPREAD not in medians(replace(FILL, connections=101))
    assert SPREAD not in medians(replace(FILL, connections=1))
    assert SPREAD not in medians(replace(FILL, requests=None))


@pytest.mark.parametrize(("ahead", "word"), [(99.0, "**missed**"), (100.0, "met")])
def test_read_ahead_is_judged_as_a_multiple_of_one_stream(ahead, word):
    (goal,) = (goal for goal in goals.GOALS if goal.script == "distant_origin")
    rows = [(goal.case, goal.variant, "MB/s", ahead), (goal.case, "provider", "MB/s", 25.0)]
    (verdict,) = (each for each in goals.verdicts([result("distant_origin", *rows)]) if each.goal is goal)
    assert verdict.measured == pytest.approx(ahead / 25)
    assert verdict.text == word


def test_a_floor_is_compared_with_the_rivals_best(monkeypatch):
    goal = goals.Goal("s", "c", "MB/s", 1.0, goals.NGINX_TUNED, is_floor=True)
    monkeypatch.setattr(goals, "GOALS", (goal,))
    rows = [("c", nginx.BUFFERED, "MB/s", 10.0), ("c", nginx.UNBUFFERED, "MB/s", 20.0), ("c", "provider", "MB/s", 15.0)]
    (verdict,) = goals.verdicts([result("s", *rows)])
    assert (verdict.theirs, verdict.text) == (20.0, "**missed**")


def test_goals_name_cases_that_their_scripts_have():
    cases = {
        "distant_origin": distant_origin.cases_at(100, Options()),
        "cold_disk": beside.cases(Options()),
        "links": links.CASES,
    }
    for goal in goals.GOALS:
        if goal.script in cases:
            assert goal.case in {case.name for case in cases[goal.script]}, goal


def test_a_cache_is_sized_by_what_it_saves():
    figures = (Figure(UPSTREAM_BYTES, 0.5, 0, 1), Figure(HIT, 45, 0, 100), Figure("CPU s/GB", 0.8, 0, 1))
    rows = (Row("in traffic", "provider", figures), Row("in traffic", "cache of 10 %", figures))
    ((what, need, because),) = sizing.lines([Result("cache_sizes", "?", (), (), rows)])
    assert what.endswith("in traffic, cache of 10 %")
    assert need == "0.100 cores; 0.50 Gbit/s from the origin"
    assert because == "45 % hits, 0.800 CPU s/GB"


def test_bytes_of_the_origin_are_counted_by_whole_lines(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"10\n20\n3")
    counter = nginx.BytesCounter(log)
    assert counter() == 30
    with log.open("ab") as more:
        more.write(b"3\n7\n")
    assert counter() == 70
    assert counter() == 70
