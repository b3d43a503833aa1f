"""`provider check`: tries everything that the settings name, and prints what works and what does not."""

import asyncio
import shutil
import sys

from provider.commands.check.probes import run_probes
from provider.commands.check.table import has_failed, render
from provider.config import Settings

__all__ = ["check"]

EXIT_FAILED = 1


def check(settings: Settings) -> int:
    """Run all probes at once and print the table. Returns 1 if something required does not work, otherwise 0."""
    findings = asyncio.run(run_probes(settings))
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else 0
    print(render(findings, width=width, colour=is_terminal))
    return EXIT_FAILED if has_failed(findings) else 0
