"""The access log: the same line as any other record's, and nothing that can fail a request."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from provider.observability.logs import AccessLog, DebugSwitch, access_log, durations, set_up_logging

FACTS = {"request_id": "a1", "endpoint": "download", "status": 200, "seconds": 0.001}


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def caught_stderr(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """For the test itself to call: pytest sets its own stream between fixtures and test."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
    return raw


def test_a_line_is_that_of_an_ordinary_record(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = caught_stderr(monkeypatch)
    set_up_logging("INFO", "json")
    write = access_log("json")
    assert write is not None
    write(FACTS)
    logging.getLogger("provider.access").info("request", extra={"fields": FACTS})
    ours, usual = (json.loads(line) for line in stderr.getvalue().splitlines())
    assert list(ours) == list(usual)
    assert ours.pop("time")[:16] == usual.pop("time")[:16]
    assert ours == usual


def test_text_is_written_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = caught_stderr(monkeypatch)
    set_up_logging("INFO", "text")
    write = access_log("text")
    assert write is not None
    write(FACTS)
    assert "request  request_id=a1 endpoint=download" in stderr.getvalue().decode()


@pytest.mark.parametrize("style", ["json", "text"])
def test_above_info_there_is_no_access_log(style: str) -> None:
    set_up_logging("WARNING", style)
    assert access_log(style) is None


def test_words_of_others_are_no_commands_for_a_terminal_and_no_further_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = caught_stderr(monkeypatch)
    set_up_logging("INFO", "text")
    said = "no\n12:00:00 ERROR all is lost\x1b]0;title\x07\x9b2J\r\u2028"
    log = logging.getLogger("provider.chain")
    log.warning("a node says %s", said, extra={"fields": {"detail": said, "chain": 1}})
    try:
        raise ValueError(said)
    except ValueError:
        log.exception("failed")
    written = stderr.getvalue().decode()
    assert set(written) & {"\x1b", "\x07", "\x9b", "\r", "\u2028"} == set()
    first, *rest = written.splitlines()
    assert first.endswith("detail=no\\n12:00:00 ERROR all is lost\\x1b]0;title\\x07\\x9b2J\\r\\u2028 chain=1")
    assert rest[0].endswith("failed")
    assert rest[1] == "Traceback (most recent call last):"


def test_a_full_disk_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk(io.RawIOBase):
        is_full = True

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return len(memoryview(data))  # type: ignore[arg-type]

    disk = Disk()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(disk)))
    set_up_logging("INFO", "json")
    write = access_log("json")
    assert write is not None
    write(FACTS)
    write(FACTS)
    # The last lines are written at the end of the process.
    disk.is_full = False


def test_toggling_goes_to_debug_and_back_and_takes_the_access_lines_along(monkeypatch: pytest.MonkeyPatch) -> None:
    caught_stderr(monkeypatch)
    set_up_logging("WARNING", "json")
    access = AccessLog("WARNING", "json")
    assert access.write is None
    access.toggle_debug()
    assert logging.getLogger().level == logging.DEBUG
    assert access.write is not None
    access.toggle_debug()
    assert logging.getLogger().level == logging.WARNING
    assert access.write is None


def test_a_switch_says_debug_or_not_however_often_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = caught_stderr(monkeypatch)
    set_up_logging("WARNING", "json")
    access, debug = AccessLog("WARNING", "json"), DebugSwitch()
    for level in (logging.WARNING, logging.DEBUG, logging.WARNING):
        access.follow(debug)
        access.follow(debug)
        assert logging.getLogger().level == level
        assert (access.write is None) == (level == logging.WARNING)
        debug.turn()
    assert [json.loads(line)["level"] for line in stderr.getvalue().splitlines()] == ["DEBUG", "WARNING"]


def test_debug_beats_the_level_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    caught_stderr(monkeypatch)
    set_up_logging("ERROR", "json", debug=True)
    assert logging.getLogger().level == logging.DEBUG
    set_up_logging("ERROR", "json")
    assert logging.getLogger().level == logging.ERROR


def test_steps_last_until_the_next_begins_and_repeated_ones_are_added() -> None:
    steps = [("signature", 1.0), ("asset", 1.5), ("signature", 2.0), ("stream", 4.0)]
    assert durations(steps, 4.25) == {"signature": 2.5, "asset": 0.5, "stream": 0.25}
    assert durations([], 1.0) == {}
