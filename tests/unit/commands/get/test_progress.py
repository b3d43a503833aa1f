"""The progress that a user sees."""

from io import StringIO

import pytest

from provider.commands.get import progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: StringIO, *, quiet: bool = False) -> str:
    with progress.shown("data.bin", out, quiet=quiet) as advance:
        for done in (0, 300, 512, 1024, 100, 4096):
            advance(done, 4096)
    return out.getvalue()


def test_quiet_shows_nothing() -> None:
    assert shown(Terminal(), quiet=True) == ""


def test_a_file_gets_a_line_per_quarter() -> None:
    assert shown(StringIO()).splitlines() == [
        "data.bin: 25 %, 1.0 KiB of 4.0 KiB",
        "data.bin: 100 %, 4.0 KiB of 4.0 KiB",
    ]


def test_a_terminal_gets_a_bar() -> None:
    assert "\x1b[" in shown(Terminal())


def test_a_terminal_without_rich_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda _: None)
    text = shown(Terminal())
    assert text.startswith("\rdata.bin: ")
    assert text.endswith("\rdata.bin: 100 %, 4.0 KiB of 4.0 KiB\x1b[K\n")


@pytest.mark.parametrize("done", [0, 5000])
def test_an_unknown_or_empty_length_is_no_fault(done: int) -> None:
    out = StringIO()
    with progress.shown("[x]", out, quiet=False) as advance:
        advance(done, None)
        advance(done, 0)
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 30, "1.0 GiB"), (1 << 42, "4.0 TiB")],
)
def test_sizes_are_binary(size_bytes: int, text: str) -> None:
    assert progress.size(size_bytes) == text
