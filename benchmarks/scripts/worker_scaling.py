"""One and two workers of ours, next to one and two of nginx: the benefit of a second worker."""

from benchmarks import nginx, peers, transfers
from benchmarks.cases import count, large, small
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import Needs

QUESTION = "What does a second worker bring, in small requests and in large files, next to nginx?"
CONNECTIONS, STREAMS = 32, 8
ONE, TWO = "provider, 1 worker", "provider, 2 workers"
PEERS = tuple(
    peers.nginx_peer(nginx.UNBUFFERED, workers=workers, name=f"nginx tuned, {count(workers, 'worker')}")
    for workers in (1, 2)
)
NOTES = (
    "Our workers accept from one socket, and each takes an equal part of the connections.",
    "The load generator is one Python process: it limits the rate of small requests that nginx can show.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "worker_scaling",
        QUESTION,
        NOTES,
        options,
        needs=Needs(
            [transfers.WARM_BYTES, options.large_bytes],
            PEERS,
            {ONE: {"PROVIDER_WORKERS": "1"}, TWO: {"PROVIDER_WORKERS": "2"}},
            one_core=False,
        ),
        cases=[small(CONNECTIONS), large(STREAMS, options.large_bytes // STREAMS, file_index=1)],
        rivals={"× nginx": frozenset({PEERS[0].name})},
    )
