"""One module per question. Each has `QUESTION`, one line, and `run(options) -> Result`."""

import importlib
import pkgutil
from typing import Protocol, cast

from benchmarks.options import Options
from benchmarks.result import Result


class Script(Protocol):
    """The interface of the modules in this folder."""

    QUESTION: str

    def run(self, options: Options) -> Result:
        """Measure, and return the result."""


def names() -> list[str]:
    """Return the names of all scripts, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Script:
    """Load the script with this name."""
    return cast(Script, importlib.import_module(f"{__name__}.{name}"))
