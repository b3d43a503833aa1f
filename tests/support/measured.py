"""What coverage measures: the product, where it runs. Tracing doubles the time of whatever Python code it follows."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import wraps
from tempfile import TemporaryFile
from typing import IO, Any, Self

from provider.override import override
from provider.testing.child import Child, Process
from tests.support.forked_children import PROVIDER, ForkedChildren

# Tests in these folders call the product. All others drive it as a process.
IN_PROCESS = {"unit", "contract"}
# The server processes of these folders are measured. The others run nothing that these leave out.
AS_PROCESS = {"contract", "e2e"}
# The examples of a property that are measured. Tracing makes hundreds of them take five times as long, and few of the
# later ones reach a line that the first did not.
MEASURED_EXAMPLES = 20
# From the end of a command's output to its own.
END_SECONDS = 60.0


def coverage_environ() -> dict[str, str]:
    """The environment of a child process whose coverage is measured; empty if coverage does not run or leaves out
    children.
    """
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}


def unmeasured_environ() -> dict[str, str]:
    """The environment of this process, for a child that is not to be measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


class MeasuredChildren(ForkedChildren):
    """Children that coverage measures if it measures those of the test that starts them."""

    @override
    def start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
        return super().start(name, arguments, {**coverage_environ(), **(environ or {})})

    def begin(self, arguments: Sequence[str], stderr: IO[bytes], **environ: str) -> Process:
        """Start `python <arguments>`. The caller waits for its end."""
        return self.open(arguments, self._environ | coverage_environ() | environ, stderr)

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `provider <arguments>` to its end."""
        with TemporaryFile("w+b") as stderr:
            process = self.begin((*PROVIDER, *arguments), stderr, **environ)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            with process.stdout as stdout:
                said = stdout.read().decode()
            status = process.wait(END_SECONDS)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, status, said, stderr.read().decode())


@contextmanager
def measured_as(folder: str, test: object) -> Iterator[None]:
    """Measure a test as its folder asks: whole, its children, or not at all. Of a property, its first examples."""
    environ = coverage_environ() if folder not in AS_PROCESS else {}
    for name in environ:
        del os.environ[name]
    tracing = Tracing.of_coverage()
    try:
        if tracing is None or (folder in IN_PROCESS and not hasattr(test, "hypothesis")):
            yield
        else:
            with tracing.off(), tracing.of_first_examples(test) if folder in IN_PROCESS else nullcontext():
                yield
    finally:
        os.environ.update(environ)


class Tracing:
    """The tracer of coverage, which can be put away for a while. That of a debugger stays."""

    def __init__(self, tracer: Any, of_threads: Any) -> None:
        self._tracer = tracer
        self._of_threads = of_threads

    @classmethod
    def of_coverage(cls) -> Self | None:
        """The tracing of this thread; None if coverage does not trace it."""
        tracer = sys.gettrace()
        if tracer is None or "coverage" not in type(tracer).__module__:
            return None
        return cls(tracer, threading.gettrace())

    @contextmanager
    def off(self) -> Iterator[None]:
        """Trace nothing meanwhile."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    @contextmanager
    def of_first_examples(self, test: Any) -> Iterator[None]:
        """Trace the first examples of a property of Hypothesis, while tracing is off."""
        examine = test.hypothesis.inner_test
        number = 0

        @wraps(examine)
        def examined(*args: object, **kwargs: object) -> object:
            nonlocal number
            number += 1
            if number > MEASURED_EXAMPLES:
                return examine(*args, **kwargs)
            self._start()
            try:
                return examine(*args, **kwargs)
            finally:
                self._stop()

        test.hypothesis.inner_test = examined
        try:
            yield
        finally:
            test.hypothesis.inner_test = examine

    def _start(self) -> None:
        threading.settrace(self._of_threads)
        sys.settrace(self._tracer)

    @staticmethod
    def _stop() -> None:
        sys.settrace(None)
        threading.settrace(None)
