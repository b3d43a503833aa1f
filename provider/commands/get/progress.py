"""Shows the progress of a download on standard error: a bar on a terminal, a line per quarter elsewhere, or nothing.

The bar is rich's, from the extra `demo`. Without it, a terminal gets one line that is written over.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TextIO

from provider.commands.get.fetch import Progress

_SHOWN_SECONDS = 0.1


@contextmanager
def shown(name: str, out: TextIO, *, quiet: bool) -> Iterator[Progress]:
    """Show the progress of one file while the context lasts.

    Yields a function that takes the bytes done and the length.
    """
    if quiet:
        yield lambda _, __: None
    elif not out.isatty():
        yield _quarters(name, out)
    elif find_spec("rich") is None:
        try:
            yield _now_and_then(lambda done, length: _write_over(name, done, length, out))
        finally:
            print(file=out)
    else:
        with _bar(name, out) as progress:
            yield progress


@contextmanager
def _bar(name: str, out: TextIO) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415  (of the extra `demo`)
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(file=out), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield _now_and_then(lambda done, length: bar.update(task, completed=done, total=length))


def _now_and_then(show: Callable[[int, int | None], None]) -> Progress:
    shown_at = 0.0

    def progress(done: int, length: int | None) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _SHOWN_SECONDS or done == length:
            shown_at = time.monotonic()
            show(done, length)

    return progress


def _write_over(name: str, done: int, length: int | None, out: TextIO) -> None:
    out.write(f"\r{name}: {share(done, length)}\x1b[K")
    out.flush()


def _quarters(name: str, out: TextIO) -> Progress:
    said = 0

    def progress(done: int, length: int | None) -> None:
        nonlocal said
        quarter = 4 * done // length if length else 0
        if length and quarter > said:
            print(f"{name}: {25 * quarter} %, {size(done)} of {size(length)}", file=out, flush=True)
        said = quarter

    return progress


def share(done: int, length: int | None) -> str:
    """`25 %, 1.0 GiB of 4.0 GiB`, or only the bytes if the length is unknown."""
    return f"{100 * done // length} %, {size(done)} of {size(length)}" if length else size(done)


def size(size_bytes: float) -> str:
    """Format bytes in binary units."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def tell(text: str, *, quiet: bool) -> None:
    """Print a note for the user, beside the output."""
    if not quiet:
        print(f"provider get: {text}", file=sys.stderr, flush=True)
