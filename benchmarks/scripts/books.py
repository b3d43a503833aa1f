"""The cost of the books for the cheapest request: the same server with and without them."""

from benchmarks import transfers
from benchmarks.cases import KIB, small
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import OURS, Needs

QUESTION = "What do the books cost on a warm download of a small file?"
OFF = "provider, no books"
SERVERS = {OURS: {}, OFF: {"PROVIDER_BOOKS": "off"}}
NOTES = ("A use is entered on the event loop, and written by a thread once a second; CPU time counts both.",)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "books",
        QUESTION,
        NOTES,
        options,
        needs=Needs((transfers.WARM_BYTES, 64 * KIB), (), SERVERS),
        cases=[small(16), small(16, size_bytes=64 * KIB, file_index=1)],
        rivals={"× no books": frozenset({OFF})},
    )
