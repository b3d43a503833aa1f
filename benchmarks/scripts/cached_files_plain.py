"""The same as `cached_files` with a plain HTTP origin, from which a server without a cache need not copy."""

from benchmarks import cached
from benchmarks.options import Options
from benchmarks.result import Result

QUESTION = "What does the same cost when the origin speaks plain HTTP?"


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return cached.measured("cached_files_plain", QUESTION, options, tls=False)
