"""The demo's report: plain ASCII without a terminal, and every failure."""

import io

import pytest

from provider.demo.scenes.report import Report, duration, size


def test_plain_output_is_ascii_without_escapes() -> None:
    out = io.StringIO()
    report = Report(out, terminal=False)
    report.heading("Start")
    report.line("chain", "[red]http://127.0.0.1[/red]")
    report.check(True, "small", "good")
    with report.progress("large", 8) as progress:
        for _ in range(8):
            progress(1)
    assert out.getvalue().isascii()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().splitlines() == [
        "",
        "Start",
        "  chain        [red]http://127.0.0.1[/red]",
        "  small        ok      good",
        "  large         25 %  2 B of 8 B",
        "  large         50 %  4 B of 8 B",
        "  large         75 %  6 B of 8 B",
        "  large        100 %  8 B of 8 B",
    ]


def test_long_line_is_not_broken() -> None:
    out = io.StringIO()
    Report(out, terminal=False).plain("curl '" + "x" * 500 + "'")
    assert len(out.getvalue().splitlines()) == 1


def test_terminal_gets_a_bar_and_colour() -> None:
    out = io.StringIO()
    report = Report(out, terminal=True)
    with report.progress("large", 4) as progress:
        progress(4)
    report.check(False, "replay", "200")
    assert "\x1b[" in out.getvalue()


def test_failed_check_is_remembered_with_what_was_expected() -> None:
    report = Report(io.StringIO(), terminal=False)
    assert report.check(True, "stranger", "400", otherwise="400")
    assert not report.check(False, "replay", "200", otherwise="400")
    assert report.failures == ["replay: 200 (expected: 400)"]


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (1 << 40, "1.0 TiB")],
)
def test_sizes_read_well(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.00005, "50 us"), (0.0123, "12.3 ms"), (61.04, "61.0 s")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
