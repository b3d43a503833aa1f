"""Time to the first byte of the body, cold and warm, of a small and of a larger file."""

from benchmarks import haproxy, nginx, peers, transfers
from benchmarks.cases import MIB, small
from benchmarks.cold import COLD, COLD_SETTINGS
from benchmarks.options import Options
from benchmarks.result import FIRST_BYTE, Result
from benchmarks.stage import OURS, Needs

QUESTION = "How long until the first byte of a small and of a larger file, cold and warm?"
LARGER_BYTES = 16 * MIB
NOTES = (
    "From sending the request to the first byte of the body, one request at a time.",
    "Caches off: nothing is remembered from one request to the next, and each connects to the origin anew.",
)
PEERS = (
    peers.hello_peer(),
    peers.nginx_peer(nginx.DEFAULT),
    peers.nginx_peer(nginx.UNBUFFERED),
    peers.haproxy_peer(haproxy.SPLICING),
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    return transfers.measured(
        "first_byte",
        QUESTION,
        NOTES,
        options,
        needs=Needs([transfers.WARM_BYTES, LARGER_BYTES], PEERS, {OURS: {}, COLD: COLD_SETTINGS}),
        cases=[small(1), small(1, size_bytes=LARGER_BYTES, file_index=1)],
        rivals={"× hello": frozenset({peers.HELLO}), "× nginx": peers.NGINX_TUNED},
        answer=FIRST_BYTE,
    )
