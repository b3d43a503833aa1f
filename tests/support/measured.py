"""What coverage measures: the product, where it runs. Tracing doubles the time of whatever Python code it follows."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from provider.demo.child import Child, Children
from provider.override import override

# Tests in these folders call the product. All others drive it as a process.
IN_PROCESS = {"unit", "contract"}
# The server processes of these folders are measured. The others run nothing that these leave out.
AS_PROCESS = {"contract", "e2e"}


def coverage_environ() -> dict[str, str]:
    """What a child process needs to be measured; empty where coverage does not run or leaves children out."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}


def unmeasured_environ() -> dict[str, str]:
    """The environment of this process, for a child that is not to be measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


class MeasuredChildren(Children):
    """Children that coverage measures if it measures those of the test that starts them."""

    @override
    def start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
        return super().start(name, arguments, {**coverage_environ(), **(environ or {})})


@contextmanager
def measured_as(folder: str) -> Iterator[None]:
    """Measure a test as befits its folder."""
    environ = coverage_environ() if folder not in AS_PROCESS else {}
    for name in environ:
        del os.environ[name]
    try:
        with nullcontext() if folder in IN_PROCESS else _untraced():
            yield
    finally:
        os.environ.update(environ)


@contextmanager
def _untraced() -> Iterator[None]:
    """Put the tracer of coverage away for a while, if there is one; that of a debugger stays."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if "coverage" not in type(tracer).__module__:
        yield
        return
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(of_threads)
        sys.settrace(tracer)
