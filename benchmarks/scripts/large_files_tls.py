"""Large files from an origin over HTTPS through our server, next to nginx and haproxy on the same origin."""

from benchmarks import haproxy, peers, transfers
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import Needs

QUESTION = "What does a GB of a large file cost when its origin speaks HTTPS, over 1, 8 and 64 connections?"
NOTES = (
    "TLS 1.3 to the origin, plain HTTP to the consumer. All keep connections to the origin; handshakes come before.",
    "Ours verifies the origin's certificate; the others, as configured here, do not.",
)
PEERS = (*peers.nginx_tuned(), peers.haproxy_peer(haproxy.COPYING))


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    total = options.large_bytes
    return transfers.measured(
        "large_files_tls",
        QUESTION,
        NOTES,
        options,
        needs=Needs([transfers.WARM_BYTES, total], PEERS, tls=True),
        cases=transfers.large_cases(total),
        rivals={"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY},
    )
