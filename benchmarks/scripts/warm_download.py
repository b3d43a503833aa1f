"""Warm authorised downloads of small files through our server, next to the same bytes without authorisation."""

from benchmarks import haproxy, nginx, peers, transfers
from benchmarks.cases import KIB, MIB, small
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import Needs

QUESTION = "What does a warm authorised download of a small file cost, next to proxies on the same origin?"
SIZES_BYTES = (KIB, 64 * KIB, MIB)
NOTES = (
    "The bare Tornado handler runs on the same interpreter and answers the same bytes from memory; × hello compares.",
    "The least download recovers a signer, makes a nonce durable and fetches the bytes from the origin. Nothing else.",
    "Ours checks signature, nonce (durable before the answer), order, fee and access each time; the others nothing.",
    "RPC: JSON-RPC round trips of the server; what there is comes from following the chain for its metadata index.",
)
PEERS = (
    peers.hello_peer(),
    peers.least_peer(),
    peers.nginx_peer(nginx.DEFAULT),
    *peers.nginx_tuned(),
    peers.haproxy_peer(haproxy.SPLICING),
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "warm_download",
        QUESTION,
        NOTES,
        options,
        needs=Needs(SIZES_BYTES, PEERS),
        cases=[
            small(1),
            *(small(16, size_bytes=size_bytes, file_index=index) for index, size_bytes in enumerate(SIZES_BYTES)),
        ],
        rivals={"× hello": frozenset({peers.HELLO}), "× least": frozenset({peers.LEAST}), "× nginx": peers.NGINX_TUNED},
    )
