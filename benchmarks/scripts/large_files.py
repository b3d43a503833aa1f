"""Large files over plain HTTP through our server, next to every rival on the same origin."""

from benchmarks import haproxy, nginx, peers, transfers
from benchmarks.cases import large
from benchmarks.options import Options
from benchmarks.result import Case, Result
from benchmarks.stage import Needs

QUESTION = "What does a GB of a large file cost over 1, 8, 64 and 512 connections, next to every rival?"
NOTES = (
    "The requests way moves an eighth of the bytes of the others on each connection. It is a threaded standard library "
    "server without a framework, leaner than Flask behind a WSGI server.",
    "Ours checks signature, nonce, order, fee and access of each request; the others check nothing.",
)
PEERS = (
    peers.nginx_peer(nginx.DEFAULT),
    *peers.nginx_tuned(),
    peers.haproxy_peer(haproxy.SPLICING),
    peers.aiohttp_peer(),
    peers.requests_peer(),
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    total = options.large_bytes
    return transfers.measured(
        "large_files",
        QUESTION,
        NOTES,
        options,
        needs=Needs([transfers.WARM_BYTES, total], PEERS),
        cases=[*transfers.large_cases(total), _many(total)],
        rivals={"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY, "× requests": frozenset({PEERS[-1].name})},
    )


def _many(total: int) -> Case:
    """512 connections take twice the bytes: 4 MiB each of 1 GiB."""
    return large(512, total * 2 // 512, file_index=1)
