"""Large files from our own disk, next to nginx with sendfile, and next to proxies in front of an origin."""

from benchmarks import haproxy, nginx, peers, transfers
from benchmarks.cases import large
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import Needs

QUESTION = "What does a GB of a large file cost from our own disk, next to nginx with sendfile?"
NOTES = (
    "The files are in the page cache. Ours and nginx send them with sendfile; haproxy splices them from an origin.",
    "Ours checks signature, nonce, order, fee, access and publisher of each request, whether the bytes of each piece "
    "are in memory, and whether the file has changed. The others check nothing.",
    "On a file system that does not tell what is in memory (tmpfs), ours copies: give --storage on a real disk.",
)
PEERS = (peers.nginx_static(), peers.haproxy_peer(haproxy.SPLICING))


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    total = options.large_bytes
    return transfers.measured(
        "local_files",
        QUESTION,
        NOTES,
        options,
        needs=Needs([transfers.WARM_BYTES, total], PEERS, local=True),
        cases=[*transfers.large_cases(total), large(512, total * 2 // 512, file_index=1)],
        rivals={"× nginx": frozenset({nginx.STATIC}), "× haproxy": peers.HAPROXY},
    )
