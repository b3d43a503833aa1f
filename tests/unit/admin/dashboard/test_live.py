"""The figures of a process."""

from provider.admin.dashboard.live import MAX_LISTED_FILES, MAX_LISTED_STREAMS, OwnFigures, StreamNow
from provider.books.health import Health
from tests.support.books import did, use


class Request:
    """What a stream belongs to."""


def stream(key: object, sent_bytes: int, began: float = 0.0) -> StreamNow:
    return StreamNow(key, "download", "copy", began, sent_bytes, "")


def test_stream_keeps_its_number_and_no_other_gets_it() -> None:
    first, second, third = Request(), Request(), Request()
    streams = [stream(first, 10, 1.0), stream(second, 20, 2.0)]
    own = OwnFigures(lambda: streams, lambda: 0, Health())
    assert {row["sent_bytes"]: row["number"] for row in own.take()["streams"]} == {10: 1, 20: 2}
    streams = [stream(second, 30, 2.0), stream(third, 5, 3.0)]
    assert {row["sent_bytes"]: row["number"] for row in own.take()["streams"]} == {30: 2, 5: 3}


def test_many_streams_are_counted_but_not_all_listed() -> None:
    keys = [Request() for _ in range(MAX_LISTED_STREAMS + 5)]
    taken = OwnFigures(lambda: [stream(key, size) for size, key in enumerate(keys)], lambda: 7, Health()).take()
    assert taken["stream_count"] == MAX_LISTED_STREAMS + 5
    assert len(taken["streams"]) == MAX_LISTED_STREAMS
    assert min(row["sent_bytes"] for row in taken["streams"]) == 5
    assert taken["sent_bytes"] == 7


def test_figures_name_neither_who_nor_what() -> None:
    key = Request()
    (row,) = OwnFigures(lambda: [stream(key, 1)], lambda: 0, Health()).take()["streams"]
    assert row.keys() == {"number", "endpoint", "path", "age_seconds", "sent_bytes", "waits_for"}


def test_files_are_named_with_what_is_known_of_them() -> None:
    health = Health()
    for number in range(MAX_LISTED_FILES + 5):
        health.note(use(number, outcome="complete" if number else "upstream_refused"))
    files = OwnFigures(list, lambda: 0, health).take()["files"]
    assert len(files) == MAX_LISTED_FILES
    assert (files[1]["did"], files[1]["uses"]) == (did(MAX_LISTED_FILES + 4), 1)
