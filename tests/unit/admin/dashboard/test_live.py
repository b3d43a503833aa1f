"""The figures of a process."""

from typing import Any

from provider.admin.dashboard.live import MAX_LISTED_FILES, MAX_LISTED_STREAMS, OwnFigures, StreamNow
from provider.books.health import Health
from provider.observability.last_errors import MAX_ERRORS, LastErrors, latest
from provider.observability.metrics.traffic import Streams
from tests.support.books import did, use


def stream(number: int, sent_bytes: int, began: float = 0.0) -> StreamNow:
    return StreamNow(number, "download", "copy", began, sent_bytes, "", did(1), 2, 100)


def figures(*streams: StreamNow, sent_bytes: int = 0, **more: Any) -> OwnFigures:
    counted = Streams()
    totals = [counted.start("download") for _ in streams]
    if totals:
        totals[0].bytes = sent_bytes
    return OwnFigures(
        lambda most: streams[:most],
        counted,
        more.get("health", Health()),
        more.get("errors", LastErrors()),
    )


def test_many_streams_are_counted_but_not_all_listed() -> None:
    taken = figures(*(stream(size, size) for size in range(MAX_LISTED_STREAMS + 5)), sent_bytes=7).take(True)
    assert taken["stream_count"] == MAX_LISTED_STREAMS + 5
    assert len(taken["streams"]) == MAX_LISTED_STREAMS
    assert taken["sent_bytes"] == 7


def test_nothing_is_listed_while_nobody_looks() -> None:
    def listed(most: int) -> list[StreamNow]:
        raise AssertionError(f"{most} streams are listed")

    counted, errors = Streams(), LastErrors()
    counted.start("link").bytes += 5
    errors.note("internal", "link", "id", "", is_bought=False)
    taken = OwnFigures(listed, counted, Health(), errors).take(False)
    assert (taken["streams"], taken["errors"], taken["files"]) == ([], [], [])
    assert (taken["stream_count"], taken["sent_bytes"]) == (1, 5)


def test_figures_name_what_is_sent_and_not_to_whom() -> None:
    (row,) = figures(stream(3, 1)).take(True)["streams"]
    assert row["number"] == 3
    assert (row["did"], row["file_index"], row["length_bytes"]) == (did(1), 2, 100)
    of_stream = {"number", "endpoint", "path", "age_seconds", "sent_bytes", "waits_for"}
    assert row.keys() == {*of_stream, "did", "file_index", "length_bytes"}


def test_the_last_failures_are_told_and_no_refusal_pushes_them_out() -> None:
    errors = LastErrors()
    errors.note("upstream_refused", "download", "first", did(1), is_bought=True)
    errors.note("internal", "link", "second", "", is_bought=False)
    for number in range(MAX_ERRORS * 2):
        errors.note("order_expired", "download", str(number), did(1), is_bought=True)
    shown = figures(errors=errors).take(True)["errors"]
    assert [(row["code"], row["request_id"], row["did"]) for row in shown] == [
        ("internal", "second", ""),
        ("upstream_refused", "first", did(1)),
    ]


def test_what_strangers_make_fail_pushes_no_failure_out() -> None:
    """Anybody may ask about a dataset whose origin refuses them, or for a gateway that is not there."""
    workers = [LastErrors() for _ in range(4)]
    workers[0].note("upstream_refused", "download", "bought", did(1), is_bought=True)
    for number in range(MAX_ERRORS * 2):
        for errors in workers:
            errors.note("file_unavailable", "initialize", str(number), "", is_bought=False)
            errors.note("gateway_unset", "fileinfo", str(number), "", is_bought=False)
    shown = latest(row for errors in workers for row in errors.shown())
    assert [(row["code"], row["request_id"], row["did"]) for row in shown] == [
        ("gateway_unset", str(MAX_ERRORS * 2 - 1), ""),
        ("upstream_refused", "bought", did(1)),
    ]


def test_of_many_failing_datasets_the_last_are_told() -> None:
    errors = LastErrors()
    for number in range(MAX_ERRORS + 5):
        errors.note("upstream_refused", "download", str(number), did(number), is_bought=True)
    assert [row["did"] for row in errors.shown()] == [did(number) for number in reversed(range(5, MAX_ERRORS + 5))]


def test_files_are_named_with_what_is_known_of_them() -> None:
    health = Health()
    for number in range(MAX_LISTED_FILES + 5):
        health.note(use(number, outcome="complete" if number else "upstream_refused"))
    files = figures(health=health).take(True)["files"]
    assert len(files) == MAX_LISTED_FILES
    assert (files[1]["did"], files[1]["uses"]) == (did(MAX_LISTED_FILES + 4), 1)
