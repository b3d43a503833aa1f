"""The demo's output: aligned lines, colour and a progress bar on a terminal, plain ASCII text elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

LABEL_WIDTH = 12


class Report:
    """Prints the run and collects failed expectations. `terminal` None: ask the stream."""

    def __init__(self, out: TextIO, *, terminal: bool | None = None) -> None:
        # soft_wrap below: long lines (URLs, curl commands) must stay whole so that they can be copied.
        self._console = Console(file=out, force_terminal=terminal, highlight=False, markup=False, emoji=False)
        self.failures: list[str] = []

    @property
    def is_terminal(self) -> bool:
        """Is the output shown on a terminal?"""
        return self._console.is_terminal

    def heading(self, text: str) -> None:
        """Start a new part of the run."""
        self._console.print()
        self._print(Text(text, style="bold"))

    def line(self, label: str, text: str) -> None:
        """Print a fact."""
        self._print(Text.assemble((f"  {label:<{LABEL_WIDTH}} ", "cyan"), text))

    def check(self, holds: bool, label: str, text: str, *, otherwise: str = "") -> bool:
        """Print a fact that must hold; if it does not, `otherwise` says what was expected."""
        verdict = ("ok      ", "green") if holds else ("FAILED  ", "bold red")
        note = f" (expected: {otherwise})" if otherwise and not holds else ""
        self._print(Text.assemble((f"  {label:<{LABEL_WIDTH}} ", "cyan"), verdict, text, note))
        if not holds:
            self.failures.append(f"{label}: {text}{note}")
        return holds

    def plain(self, text: str) -> None:
        """Print a line as it is."""
        self._print(Text(text))

    def error(self, text: str) -> None:
        """Print what ended the run."""
        self.failures.append(text)
        self._print(Text(text, style="bold red"))

    @contextlib.contextmanager
    def progress(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show the progress of one transfer; yields the function that takes the size of each piece."""
        if self._console.is_terminal:
            columns = (TextColumn(f"  {label:<{LABEL_WIDTH}}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            with Progress(*columns, console=self._console, transient=True) as bar:
                task = bar.add_task(label, total=total_bytes)
                yield _every(0.1, lambda done: bar.update(task, completed=done))
                bar.update(task, completed=total_bytes)
        else:
            yield self._quarters(label, total_bytes)

    def _quarters(self, label: str, total_bytes: int) -> Callable[[int], None]:
        done, said = 0, 0

        def advance(count: int) -> None:
            nonlocal done, said
            done += count
            quarter = 4 * done // max(1, total_bytes)
            if quarter > said:
                said = quarter
                self.line(label, f"{25 * quarter:3d} %  {size(done)} of {size(total_bytes)}")

        return advance

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _every(seconds: float, show: Callable[[int], None]) -> Callable[[int], None]:
    """Add up the pieces and show the sum only now and then: a bar must not cost what it measures."""
    done, shown_at = 0, 0.0

    def advance(count: int) -> None:
        nonlocal done, shown_at
        done += count
        now = time.monotonic()
        if now - shown_at >= seconds:
            shown_at = now
            show(done)

    return advance


def size(size_bytes: float) -> str:
    """Format bytes in binary units."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def duration(seconds: float) -> str:
    """Format seconds in the most readable unit."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
