"""The frozen settings tree. Values only: reading and checking them is `load.py`'s work."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.config.admission_values import AdmissionSettings
from provider.crypto.certificate import TlsFiles
from provider.outgoing.proxies import Proxies
from provider.redis.url import RedisTarget


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a listener binds."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """One chain. `chain_id` is None in single-chain mode: the node is asked at start."""

    chain_id: int | None
    rpc_urls: tuple[str, ...] = field(repr=False)
    private_key: str = field(repr=False)
    fee_token: str | None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The public listener, the admin listener and the processes behind them. Without `tls` it is plain HTTP."""

    listener: Listener
    tls: TlsFiles | None
    admin: Listener | None
    admin_hosts: tuple[str, ...]
    workers: int
    max_body_bytes: int
    drain_timeout_seconds: float
    reload_drain_seconds: float
    idle_connection_timeout_seconds: float

    @property
    def accepted_admin_hosts(self) -> frozenset[str]:
        """Names under which the admin listener answers, beside addresses and private names."""
        listener = () if self.admin is None else (self.admin.host.lower(),)
        return frozenset((*listener, *self.admin_hosts))


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """How chains are read. `finality_by_chain` goes before `finality_blocks`."""

    timeout_seconds: float
    hedge_after_seconds: float
    watch_seconds: float
    max_lag_blocks: int
    receipt_wait_seconds: float
    finality_blocks: int
    finality_by_chain: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class MetadataSettings:
    """Where DDOs come from. Without `aquarius_url` the chain itself is read."""

    aquarius_url: str | None = field(repr=False)
    timeout_seconds: float
    index_start_block: int | None
    index_poll_seconds: float
    index_batch_blocks: int
    max_document_bytes: int


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """How origins are read. `dns_servers`: who is asked for their hosts, empty for the system's."""

    connect_timeout_seconds: float
    first_byte_timeout_seconds: float
    idle_timeout_seconds: float
    attempts: int
    max_resumes: int
    max_idle_connections: int
    quiet_seconds: float
    allow_non_public_ip: bool
    max_checksum_bytes: int
    ipfs_gateways: tuple[str, ...] = field(repr=False)
    arweave_gateways: tuple[str, ...] = field(repr=False)
    dns_servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Time to live and size of each cache of facts."""

    ddo_seconds: float
    ddo_entries: int
    state_seconds: float
    state_entries: int
    receipt_seconds: float
    receipt_entries: int
    files_seconds: float
    files_entries: int


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits of streams, per worker; 0 means none."""

    max_streams_per_consumer: int
    max_bytes_per_second_per_stream: int
    max_bytes_per_second_per_consumer: int


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Who may do what. An empty `authorized_decrypters` means everybody."""

    authorized_decrypters: frozenset[str]
    allow_unbound_files: bool
    universal_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Services that decide with us, None where there is none; `timeout_seconds` bounds one question to either."""

    rbac_url: str | None = field(repr=False)
    is_private: bool
    policy_url: str | None = field(repr=False)
    policy_api_key: str | None = field(repr=False)
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """Proofs of download: to `http_url`, or as transactions, or none. Fees are bounds in wei per gas.

    Of those that are transactions: one per order and consumer in `period_seconds`, `max_per_order` of one order and
    `max_per_day` of one chain; 0 is no bound.
    """

    http_url: str | None = field(repr=False)
    on_chain: bool
    max_fee_wei: int
    max_fee_wei_by_chain: Mapping[int, int]
    max_queued: int
    max_age_seconds: float
    period_seconds: float
    max_per_order: int
    max_per_day: int


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """How the operator service is asked. `public_url`: where consumers reach this server, None where nobody said.

    `metadata_url`: the metadata store that pods are told of, None for our own.
    """

    timeout_seconds: float
    environments_seconds: float
    public_url: str | None = field(repr=False)
    metadata_url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How consumers prove who they are. `contract_accounts`: ask contracts about signatures of theirs (ERC-1271)."""

    token_max_lifetime_seconds: int
    contract_accounts: bool


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """What hosts share, None where there is one host. `prefix` begins every key; `wait_replicas` 0 waits for none."""

    target: RedisTarget = field(repr=False)
    prefix: str
    timeout_seconds: float
    wait_replicas: int
    shares_facts: bool


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Log level name, and `json`, `text` or `auto` (text on a terminal)."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class ObservingSettings:
    """`tracing`: by OTLP, or not. Further behind than `ready_max_index_lag_blocks` is not ready; 0 for never mind."""

    metrics: bool
    tracing: bool
    ready_max_index_lag_blocks: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set, checked."""

    server: ServerSettings
    chains: tuple[ChainSettings, ...]
    addresses_text: str = field(repr=False)
    rpc: RpcSettings
    metadata: MetadataSettings
    upstream: UpstreamSettings
    proxies: Proxies
    cache: CacheSettings
    limits: LimitSettings
    admission: AdmissionSettings
    security: SecuritySettings
    access: AccessSettings
    proofs: ProofSettings
    identity: IdentitySettings
    log: LogSettings
    observing: ObservingSettings
    redis: RedisSettings | None
    storage_path: str
    operator_service_url: str | None = field(repr=False)
    compute: ComputeSettings
    warnings: tuple[str, ...]
