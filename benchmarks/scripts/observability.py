"""The cost of metrics and the access log for the cheapest request: the same server with and without them."""

from benchmarks import peers, transfers
from benchmarks.cases import KIB, small
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import OURS, Needs

QUESTION = "What do metrics and the access log cost on a warm download of a small file?"
OFF = "provider, both off"
SERVERS = {
    OURS: {},
    "provider, no access log": {"LOG_LEVEL": "WARNING"},
    "provider, no metrics": {"PROVIDER_METRICS": "off"},
    OFF: {"LOG_LEVEL": "WARNING", "PROVIDER_METRICS": "off"},
}
NOTES = (
    "The access log is one JSON line per request, written to a file at once; metrics are read by nobody meanwhile.",
    "Nothing of either happens per piece of a body, so that the smallest file shows the most.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "observability",
        QUESTION,
        NOTES,
        options,
        needs=Needs((transfers.WARM_BYTES, 64 * KIB), (peers.hello_peer(),), SERVERS),
        cases=[small(16), small(16, size_bytes=64 * KIB, file_index=1)],
        rivals={"× both off": frozenset({OFF}), "× hello": frozenset({peers.HELLO})},
    )
