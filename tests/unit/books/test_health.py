"""Which dataset is ill."""

from dataclasses import replace

import pytest

from provider.books import health
from provider.books.health import FAILING_SECONDS, MAX_NAMED, OTHERS, FileHealth, Health, merged
from tests.support.books import NOW, did, use


def noted(*outcomes: str, number: int = 1) -> FileHealth:
    file = FileHealth(did(number), 0)
    for step, outcome in enumerate(outcomes):
        file.note(use(number, outcome=outcome, at=NOW + step))
    return file


def test_failures_of_the_origin_count_in_a_row() -> None:
    file = noted("complete", "upstream_refused", "upstream_timed_out")
    assert (file.failures_in_a_row, file.code, file.last_failure_at) == (2, "upstream_timed_out", NOW + 2)
    assert (file.last_success_at, file.uses, file.origin_failures) == (NOW, 3, 2)


def test_a_success_ends_the_row() -> None:
    file = noted("upstream_refused", "complete")
    assert (file.failures_in_a_row, file.is_failing(NOW + 1), file.code) == (0, False, "upstream_refused")


def test_others_say_nothing_about_an_origin() -> None:
    file = noted("upstream_refused", "consumer_gone", "chain_unavailable", "order_expired")
    assert (file.failures_in_a_row, file.consumer_failures, file.our_failures) == (1, 2, 1)


def test_an_old_failure_is_no_illness() -> None:
    file = noted("upstream_refused")
    assert file.is_failing(NOW + FAILING_SECONDS - 1)
    assert not file.is_failing(NOW + FAILING_SECONDS + 1)


def test_only_what_was_bought_counts() -> None:
    known = Health()
    known.note(use(outcome="upstream_refused", is_bought=False))
    assert known.failing(NOW) == {OTHERS: 0}
    assert known.worth_showing(NOW, 10) == []


def test_the_longest_rows_are_named_and_the_rest_is_counted() -> None:
    known = Health()
    for number in range(MAX_NAMED + 5):
        for _ in range(number + 1):
            known.note(use(number, outcome="upstream_refused"))
    failing = known.failing(NOW)
    assert len(failing) == MAX_NAMED + 1
    assert failing[OTHERS] == 5
    assert failing[did(MAX_NAMED + 4), "0"] == MAX_NAMED + 5
    assert (did(0), "0") not in failing


def test_the_file_used_longest_ago_is_forgotten() -> None:
    known = Health()
    for number in range(health.MAX_FILES + 10):
        known.note(use(number, outcome="upstream_refused"))
    assert known.failing(NOW)[OTHERS] == health.MAX_FILES - MAX_NAMED
    assert did(0) not in {shown["did"] for shown in known.worth_showing(NOW, health.MAX_FILES)}


def test_a_dataset_with_many_files_pushes_out_its_own_and_nobody_elses() -> None:
    known = Health()
    for number in range(2, 5):
        known.note(use(number, outcome="upstream_refused"))
    for file_index in range(health.MAX_FILES + 100):
        known.note(replace(use(1), file_index=file_index))
    shown = known.worth_showing(NOW, health.MAX_FILES + 100)
    assert len(shown) == health.MAX_FILES
    assert {row["did"] for row in shown[:3]} == {did(2), did(3), did(4)}
    assert shown[-1]["file_index"] == 103
    known.note(use(5))
    known.note(use(2))
    assert [row["uses"] for row in known.worth_showing(NOW, health.MAX_FILES) if row["did"] == did(2)] == [2]


def test_the_ill_are_shown_first() -> None:
    known = Health()
    known.note(use(1, outcome="upstream_refused"))
    for number in range(2, 30):
        known.note(use(number))
    assert [shown["did"] for shown in known.worth_showing(NOW, 2)] == [did(1), did(29)]


def test_workers_are_put_together_by_what_happened_last() -> None:
    ill, well = noted("upstream_refused"), noted("consumer_gone", "complete")
    (both,) = merged([[ill.shown()], [well.shown()]], NOW, 5)
    assert (both.uses, both.failures_in_a_row, both.is_failing(NOW)) == (3, 0, False)
    later = noted("complete", "complete", "upstream_timed_out")
    (both,) = merged([[ill.shown()], [later.shown()]], NOW, 5)
    assert (both.failures_in_a_row, both.code) == (2, "upstream_timed_out")


def test_percentiles_of_a_file_are_those_of_all_workers() -> None:
    files = [FileHealth(did(1), 0) for _ in range(2)]
    for file, seconds in zip(files, (0.01, 1.0), strict=True):
        for _ in range(20):
            one = use(1, sent_bytes=1_000_000)
            one.first_byte_seconds, one.seconds = seconds, seconds + 0.5
            file.note(one)
    (both,) = merged([[file.shown()] for file in files], NOW, 5)
    fast, slow = both.first_bytes.percentile(0.5), both.first_bytes.percentile(0.95)
    assert fast == pytest.approx(0.01, rel=0.42)
    assert slow == pytest.approx(1.0, rel=0.42)
    assert both.rates.percentile(0.5) == pytest.approx(2_000_000, rel=0.42)


def test_a_body_that_is_short_or_cut_says_nothing_about_speed() -> None:
    file = FileHealth(did(1), 0)
    for outcome, sent_bytes in (("complete", 100), ("consumer_gone", 1_000_000)):
        one = use(1, outcome=outcome, sent_bytes=sent_bytes)
        one.first_byte_seconds, one.seconds = 0.1, 0.2
        file.note(one)
    assert file.rates.percentile(0.5) is None
    assert file.first_bytes.percentile(0.5) is not None
