"""JSON-RPC endpoints, chains, and the metadata index that reads them."""

from provider.observability.metrics.family import Family

# Nodes in the same network answer in a millisecond, public ones in some hundred; the usual limit is 10 s.
_RPC = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_CHAIN = "chain id"
_POSITION = "position in `NETWORK_URL`, from 1"

RPC_SECONDS = Family(
    "provider_rpc_seconds",
    "histogram",
    "Time of one exchange with one JSON-RPC endpoint.",
    {
        "chain": _CHAIN,
        "method": "JSON-RPC method, `batch` for several calls",
        "outcome": "`ok`, `fault` (some calls were not answered), `timeout`, `unreachable`, `http_status`, "
        "`malformed`, `too_large`, `limited`, `wrong_chain`, `cancelled` (another endpoint answered first, or nobody "
        "waited any longer)",
    },
    _RPC,
)
RPC_CALLS = Family(
    "provider_rpc_calls_total", "counter", "JSON-RPC calls sent, each of a batch by itself.", {"chain": _CHAIN}
)
RPC_FAILOVERS = Family(
    "provider_rpc_failovers_total",
    "counter",
    "Times that an endpoint was put aside after a failure.",
    {"chain": _CHAIN, "endpoint": _POSITION},
)
RPC_FAULTS = Family(
    "provider_rpc_faults_total",
    "counter",
    "Exchanges in which an endpoint answered a call with an error that is not the chain's answer, as a revert is.",
    {"chain": _CHAIN, "endpoint": _POSITION},
)
RPC_HEDGES = Family(
    "provider_rpc_hedges_total",
    "counter",
    "Times that a further endpoint was asked because the one before was slow.",
    {"chain": _CHAIN},
)
RPC_ENDPOINT_UP = Family(
    "provider_rpc_endpoint_up",
    "gauge",
    "0 while a worker has the endpoint put aside, else 1.",
    {"chain": _CHAIN, "endpoint": _POSITION},
    merge="min",
)
RPC_ENDPOINT_BLOCK = Family(
    "provider_rpc_endpoint_block",
    "gauge",
    "Latest block of an endpoint; only with several of them.",
    {"chain": _CHAIN, "endpoint": _POSITION},
    merge="max",
)
CHAIN_BLOCK_HEIGHT = Family(
    "provider_chain_block_height",
    "gauge",
    "Latest block that a node told of, whenever one was asked.",
    {"chain": _CHAIN},
    merge="max",
)
CHAIN_HEADS = Family(
    "provider_chain_heads_total",
    "counter",
    "Times that a node told of its latest block, a new one or not.",
    {"chain": _CHAIN},
)

INDEX_BLOCK = Family(
    "provider_index_block", "gauge", "Last block that the metadata index has read.", {"chain": _CHAIN}, merge="max"
)
INDEX_BLOCKS_BEHIND = Family(
    "provider_index_blocks_behind",
    "gauge",
    "Blocks between the newest one seen and the last one that the metadata index has read.",
    {"chain": _CHAIN},
    merge="max",
)
INDEX_LAST_POLL = Family(
    "provider_index_last_poll_timestamp_seconds",
    "gauge",
    "When the metadata index last read the chain up to its end; `time() -` this is how long ago. 0: not yet.",
    {"chain": _CHAIN},
    merge="max",
)
