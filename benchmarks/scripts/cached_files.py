"""The slice cache next to nginx: large files from an HTTPS origin, both cached and being cached."""

from benchmarks import cached
from benchmarks.options import Options
from benchmarks.result import Result

QUESTION = "What does a GB of a cached file cost, and of one that is being cached, next to nginx's slice cache?"


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return cached.measured("cached_files", QUESTION, options, tls=True)
