"""What the server keeps: used nonces, facts in caches, proofs of download on their way; and Redis for some of it."""

from provider.observability.metrics.family import Family

# From a disk with a battery or without a flush (100 µs) to one whose other writers are in the way.
_COMMIT = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_CACHE = "`ddo`, `files`, `receipt`, `nft_state`, `datatoken`, `factory_nft`, `access_list`, …: one per cache"

NONCES = Family(
    "provider_nonces_total",
    "counter",
    "Nonces presented with a valid signature.",
    {"result": "`accepted`, `refused`, or `failed`: the store did not work"},
)
NONCE_COMMIT_SECONDS = Family(
    "provider_nonce_commit_seconds",
    "histogram",
    "Time until a nonce was durably used, or refused.",
    buckets=_COMMIT,
)

REDIS_SECONDS = Family(
    "provider_redis_seconds",
    "histogram",
    "Time of each question to Redis, those before it included; only with `REDIS_CONNECTION`.",
    {
        "operation": "`nonce`, `revocation`, `facts`, `leases` (of streams), `limits` (of clients), `check`",
        "result": "`ok`, or `failed`: refused, not answered in time, or not asked at all after a failure",
    },
    _COMMIT,
)
REDIS_UP = Family(
    "provider_redis_up",
    "gauge",
    "0 while a worker has given up Redis, or a server of a cluster: for nonces, or only for what hosts share besides "
    "(`provider_redis_seconds` tells by `operation`); only with `REDIS_CONNECTION`.",
    merge="min",
)

CACHE_REQUESTS = Family(
    "provider_cache_requests_total", "counter", "Cache look-ups.", {"cache": _CACHE, "result": "`hit` or `miss`"}
)
CACHE_EVICTIONS = Family(
    "provider_cache_evictions_total", "counter", "Entries pushed out before their time.", {"cache": _CACHE}
)
CACHE_ENTRIES = Family("provider_cache_entries", "gauge", "Entries held.", {"cache": _CACHE})
CACHE_MAX_ENTRIES = Family("provider_cache_max_entries", "gauge", "Entries that fit.", {"cache": _CACHE})
CACHE_HIT_AGE_SECONDS = Family(
    "provider_cache_hit_age_seconds",
    "summary",
    "Age of entries when they were used: the sum over the count is how old facts are on average.",
    {"cache": _CACHE},
)

PROOFS = Family(
    "provider_proofs_total",
    "counter",
    "Proofs of download.",
    {"kind": "`http` or `chain`", "outcome": "`queued`, `confirmed` (sent, and accepted), `lost`, `skipped`"},
)
PROOFS_QUEUED = Family(
    "provider_proofs_queued", "gauge", "Proofs of download neither confirmed nor lost so far.", merge="max"
)
