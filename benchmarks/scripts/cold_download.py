"""Downloads that find nothing in any cache: the requests to chain and origin, and the time they take."""

from benchmarks import transfers
from benchmarks.cases import small
from benchmarks.cold import COLD, COLD_SETTINGS
from benchmarks.options import Options
from benchmarks.result import RPC, Result
from benchmarks.stage import OURS, Needs

QUESTION = "What does a cold download ask of chain and origin, and what does it cost, next to the same warm?"
NOTES = (
    "Caches off: every PROVIDER_CACHE_…_SECONDS is 0 and no connection to the origin is kept.",
    "Requests that come in the same turn of the loop share a JSON-RPC batch, hence less than one with 16 connections.",
    "The metadata index is kept: without AQUARIUS_URL a DDO costs no round trip, with it one HTTP request more.",
    "The chain is a Python EVM on this machine: its answers take milliseconds, those of a real node more.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "cold_download",
        QUESTION,
        NOTES,
        options,
        needs=Needs([transfers.WARM_BYTES], (), {OURS: {}, COLD: COLD_SETTINGS}),
        cases=[small(1), small(16)],
        rivals={},
        answer=RPC,
    )
