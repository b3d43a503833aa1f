"""Metrics of what requests are checked against and recorded in: chains, caches, the index, stores, books.

They follow the rules in `traffic.py`.
"""

from typing import TYPE_CHECKING, Any

from provider.observability.metrics.instruments import Counter, Gauge, Group, Histogram, Summary

if TYPE_CHECKING:
    from provider.cache import FactCache
    from provider.files.plaintext_cache import PlaintextCache

# From a disk with a battery or without a flush (100 µs) to one that is busy with other writers.
_COMMIT = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
# Nodes in the same network answer in a millisecond, public ones in some hundred; the usual limit is 10 s.
_RPC = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_CHAIN = "chain id"
_POSITION = "position in `NETWORK_URL`, from 1"
_CACHE = "`ddo`, `files`, `receipt`, `nft_state`, `datatoken`, `factory_nft`, `access_list`, …: one per cache"


class Nonces(Group):
    """Nonces and the store that uses them up."""

    title = "Nonces"

    presented = Counter(
        "provider_nonces_total",
        "Nonces presented with a valid signature.",
        {"result": "`accepted`, `refused`, or `failed`: the store did not work"},
        begin=[("accepted",), ("refused",), ("failed",)],
    )
    commit_seconds = Histogram(
        "provider_nonce_commit_seconds",
        "Time until a nonce was durably used, or refused.",
        buckets=_COMMIT,
        begin=[()],
    )


class Redis(Group):
    """Exchanges with the Redis that hosts share."""

    title = "Redis"

    seconds = Histogram(
        "provider_redis_seconds",
        "Time of each request to Redis, including requests queued before it; only with `REDIS_CONNECTION`.",
        {
            "operation": "`nonce`, `revocation`, `facts`, `leases` (of streams), `limits` (of clients), `quotas`, "
            "`check`",
            "result": "`ok`, or `failed`: refused, not answered in time, or not sent at all after a failure",
        },
        buckets=_COMMIT,
    )
    up = Gauge(
        "provider_redis_up",
        "0 while a worker considers Redis, or a server of a cluster, unreachable: for nonces, or only for the other "
        "data that hosts share (`provider_redis_seconds` shows which, by `operation`); only with `REDIS_CONNECTION`.",
        merge="min",
    )


class Chains(Group):
    """JSON-RPC endpoints and chains. The client of each chain counts here."""

    title = "Chains"

    exchange_seconds = Histogram(
        "provider_rpc_seconds",
        "Time of one exchange with one JSON-RPC endpoint.",
        {
            "chain": _CHAIN,
            "method": "JSON-RPC method, `batch` for several calls",
            "outcome": "`ok`, `fault` (some calls were not answered), `timeout`, `unreachable`, `http_status`, "
            "`malformed`, `too_large`, `limited`, `wrong_chain`, `cancelled` (another endpoint answered first, or "
            "nobody waited any longer)",
        },
        buckets=_RPC,
    )
    calls = Counter("provider_rpc_calls_total", "JSON-RPC calls sent, each call of a batch counted.", {"chain": _CHAIN})
    failovers = Counter(
        "provider_rpc_failovers_total",
        "Outages of an endpoint; each counts once, however many calls failed.",
        {"chain": _CHAIN, "endpoint": _POSITION},
    )
    faults = Counter(
        "provider_rpc_faults_total",
        "Exchanges in which an endpoint answered a call with an error of its own, not with the chain's answer as a "
        "revert is.",
        {"chain": _CHAIN, "endpoint": _POSITION},
    )
    hedges = Counter(
        "provider_rpc_hedges_total",
        "Times that the next endpoint was asked as well because the one before was slow.",
        {"chain": _CHAIN},
    )
    endpoint_up = Gauge(
        "provider_rpc_endpoint_up",
        "0 during an outage that a worker sees, else 1.",
        {"chain": _CHAIN, "endpoint": _POSITION},
        merge="min",
    )
    endpoint_block = Gauge(
        "provider_rpc_endpoint_block",
        "Latest block of an endpoint; only with several of them.",
        {"chain": _CHAIN, "endpoint": _POSITION},
        merge="max",
    )
    block_height = Gauge(
        "provider_chain_block_height",
        "Latest block that a node reported, whenever one was asked.",
        {"chain": _CHAIN},
        merge="max",
    )
    heads = Counter(
        "provider_chain_heads_total",
        "Times that a node reported its latest block, new or not. Chains in `PROVIDER_IDLE_CHAINS` are not counted.",
        {"chain": _CHAIN},
    )


class Caches(Group):
    """Caches of facts."""

    title = "Caches"

    requests = Counter(
        "provider_cache_requests_total", "Cache lookups.", {"cache": _CACHE, "result": "`hit` or `miss`"}
    )
    evictions = Counter("provider_cache_evictions_total", "Entries evicted before they expired.", {"cache": _CACHE})
    entries = Gauge("provider_cache_entries", "Entries held.", {"cache": _CACHE})
    max_entries = Gauge("provider_cache_max_entries", "Entries that fit.", {"cache": _CACHE})
    hit_age_seconds = Summary(
        "provider_cache_hit_age_seconds",
        "Age of entries when they were used. The sum divided by the count is the average age of a used fact.",
        {"cache": _CACHE},
    )

    def follow(self, name: str, cache: "FactCache[Any, Any] | PlaintextCache") -> None:
        """Follow the cache of this name."""
        self.requests.follow(lambda: cache.counts.hits, name, "hit")
        self.requests.follow(lambda: cache.counts.misses, name, "miss")
        self.evictions.follow(lambda: cache.counts.evictions, name)
        self.entries.follow(lambda: len(cache), name)
        self.max_entries.follow(lambda: cache.max_entries, name)
        self.hit_age_seconds.follow(lambda: [cache.counts.hit_age_seconds, cache.counts.hits], name)


class Index(Group):
    """The metadata index that reads the chains' logs."""

    title = "Metadata index"

    block = Gauge(
        "provider_index_block", "Last block that the metadata index has read.", {"chain": _CHAIN}, merge="max"
    )
    blocks_behind = Gauge(
        "provider_index_blocks_behind",
        "Blocks between the newest one seen and the last one that the metadata index has read.",
        {"chain": _CHAIN},
        merge="max",
    )
    left_seconds = Gauge(
        "provider_index_left_seconds",
        "Seconds until the metadata index has read the chain to its end, at its rate of the last minute.",
        {"chain": _CHAIN},
        merge="max",
    )
    last_poll = Gauge(
        "provider_index_last_poll_timestamp_seconds",
        "When the metadata index last read the chain to its end; `time() -` this is how long ago. 0: not yet.",
        {"chain": _CHAIN},
        merge="max",
    )


class Proofs(Group):
    """Proofs of download on their way."""

    title = "Proofs of download"

    outcomes = Counter(
        "provider_proofs_total",
        "Proofs of download.",
        {"kind": "`http` or `chain`", "outcome": "`queued`, `confirmed` (sent, and accepted), `lost`, `skipped`"},
    )
    queued = Gauge("provider_proofs_queued", "Proofs of download neither confirmed nor lost so far.", merge="max")


class BooksMetrics(Group):
    """The record of uses."""

    title = "Books"

    records = Counter(
        "provider_books_records_total",
        "Uses of datasets that were to be recorded (`usage.md`).",
        {"result": "`written`, or `lost`: the file could not be written for too long"},
        begin=[("written",), ("lost",)],
    )
    up = Gauge(
        "provider_books_up",
        "0 while a worker cannot write its records; downloads continue.",
        merge="min",
    )
    probes = Counter(
        "provider_probes_total",
        "Probes: requests of the server itself to the origins of sold files (`PROVIDER_PROBE_SECONDS`).",
        {"result": "`ok`, `failed` (the origin's fault), or `skipped`: not on sale, not to be repeated, not known"},
        begin=[("ok",), ("failed",), ("skipped",)],
    )
    failing = Gauge(
        "provider_asset_failing",
        "Failures in a row of a file that was bought, because of its origin. A success ends the row, and so does a day "
        "without a use. Each worker names the 20 files with the longest rows.",
        {"did": "the dataset; `others` counts the further files that fail", "file": "index of the file"},
        merge="max",
    )


class QuotaMetrics(Group):
    """Refusals by quotas."""

    title = "Quotas"

    refusals = Counter(
        "provider_quota_refusals_total",
        "Downloads that were refused because a quota was used up (`limits.md`).",
        {
            "quota": "`order`, `consumer` (and day), `asset` (and month)",
            "unit": "`downloads` or `bytes`",
        },
        begin=[(scope, unit) for scope in ("order", "consumer", "asset") for unit in ("downloads", "bytes")],
    )
