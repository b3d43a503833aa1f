"""Build `Settings` from an environment and a TOML file; every fault is reported at once."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import orjson

from provider.config.access import read_access
from provider.config.admission import read_admission
from provider.config.admission_values import AdmissionSettings
from provider.config.chains import read_chains
from provider.config.compute import read_compute
from provider.config.gateways import read_gateways
from provider.config.identity import read_identity
from provider.config.model import (
    AccessSettings,
    CacheSettings,
    ComputeSettings,
    IdentitySettings,
    LimitSettings,
    Listener,
    LogSettings,
    MetadataSettings,
    ObservingSettings,
    ProofSettings,
    RedisSettings,
    RpcSettings,
    SecuritySettings,
    ServerSettings,
    Settings,
    UpstreamSettings,
)
from provider.config.observing import read_observing
from provider.config.outgoing import read_dns_servers, read_proxies
from provider.config.proofs import read_proofs
from provider.config.redis import read_redis
from provider.config.rpc import read_rpc
from provider.config.source import SettingsError, Source
from provider.config.tls import read_tls
from provider.outgoing.proxies import Proxies

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
DAY_SECONDS = 86_400.0
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
# Set by the old image and by Barge, never used by either Provider.
IGNORED = frozenset({"PROVIDER_ADDRESS", "PROVIDER_CONFIG_FILE"})


def load_settings(environ: Mapping[str, str], config_path: str | None = None) -> Settings:
    """Checked settings; `config_path` beats `PROVIDER_CONFIG_FILE`. Raises SettingsError listing every fault."""
    path = config_path or environ.get("PROVIDER_CONFIG_FILE", "").strip() or None
    source = Source(environ, _read_table(path))
    if source.environment("LOG_CFG"):
        source.warnings.append("LOG_CFG is ignored: set LOG_LEVEL and PROVIDER_LOG_FORMAT")
    chains, universal_key = read_chains(source)
    security = SecuritySettings(
        authorized_decrypters=_authorized_decrypters(source),
        allow_unbound_files=source.boolean("ALLOW_UNBOUND_FILES", "security.allow_unbound_files", False),
        universal_key=universal_key,
    )
    parts = _Parts(
        server=_server(source),
        addresses_text=_addresses_text(source),
        rpc=read_rpc(source),
        metadata=_metadata(source),
        upstream=_upstream(source),
        proxies=read_proxies(source),
        cache=_cache(source),
        limits=_limits(source),
        admission=read_admission(source),
        access=read_access(source),
        proofs=read_proofs(source),
        identity=read_identity(source),
        log=_log(source),
        observing=read_observing(source),
        redis=read_redis(source),
        storage_path=source.text("STORAGE_PATH", "storage.path", "ocean-provider.db") or "",
        operator_service_url=source.url("OPERATOR_SERVICE_URL", "compute.operator_service_url"),
        compute=read_compute(source),
    )
    source.note_unknown_keys()
    source.note_unknown_variables(lambda name: name.startswith("PROVIDER_") and name not in IGNORED)
    if source.faults:
        raise SettingsError(source.faults, source.warnings)
    return Settings(chains=chains, security=security, warnings=tuple(source.warnings), **parts)


def load_admin_listener(environ: Mapping[str, str], config_path: str | None = None) -> Listener | None:
    """The admin listener alone, None when it is off: no key is read for it. Raises SettingsError."""
    path = config_path or environ.get("PROVIDER_CONFIG_FILE", "").strip() or None
    source = Source(environ, _read_table(path))
    listener = _admin(source)
    if source.faults:
        raise SettingsError(source.faults, source.warnings)
    return listener


class _Parts(TypedDict):
    server: ServerSettings
    addresses_text: str
    rpc: RpcSettings
    metadata: MetadataSettings
    upstream: UpstreamSettings
    proxies: Proxies
    cache: CacheSettings
    limits: LimitSettings
    admission: AdmissionSettings
    access: AccessSettings
    proofs: ProofSettings
    identity: IdentitySettings
    log: LogSettings
    observing: ObservingSettings
    redis: RedisSettings | None
    storage_path: str
    operator_service_url: str | None
    compute: ComputeSettings


def _read_table(path: str | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: cannot read {path}: {exc.strerror}"]) from exc
    except RecursionError as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: {path} is not TOML: nested too deeply"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: {path} is not TOML: {exc}"]) from exc


def _server(source: Source) -> ServerSettings:
    tls = read_tls(source)
    listener = source.listener(
        "OCEAN_PROVIDER_URL",
        "server.url",
        "http://0.0.0.0:8030",
        https_fault=None if tls else "https needs PROVIDER_TLS_CERT_FILE and PROVIDER_TLS_KEY_FILE",
    )
    if listener is None:
        if not any(fault.startswith("OCEAN_PROVIDER_URL") for fault in source.faults):
            source.fault("OCEAN_PROVIDER_URL", "server.url", "cannot be off")
        listener = Listener("0.0.0.0", 8030)  # noqa: S104 - the documented default (`provider-api.md` section 1)
    old_workers = source.integer("OCEAN_PROVIDER_WORKERS", "", 1, minimum=1, maximum=256)
    return ServerSettings(
        listener=listener,
        tls=tls,
        admin=_admin(source),
        admin_hosts=_admin_hosts(source),
        workers=source.workers("PROVIDER_WORKERS", "server.workers", old_workers),
        max_body_bytes=source.integer(
            "PROVIDER_MAX_BODY_BYTES", "server.max_body_bytes", 10 << 20, minimum=1024, maximum=1 << 30
        ),
        drain_timeout_seconds=source.seconds(
            "PROVIDER_DRAIN_TIMEOUT_SECONDS", "server.drain_timeout_seconds", 30.0, minimum=0.0, maximum=DAY_SECONDS
        ),
        reload_drain_seconds=source.seconds(
            "PROVIDER_RELOAD_DRAIN_SECONDS", "server.reload_drain_seconds", 3600.0, minimum=0.0, maximum=DAY_SECONDS
        ),
        idle_connection_timeout_seconds=source.seconds(
            "PROVIDER_IDLE_CONNECTION_TIMEOUT_SECONDS",
            "server.idle_connection_timeout_seconds",
            75.0,
            minimum=1.0,
            maximum=3600.0,
        ),
    )


def _admin_hosts(source: Source) -> tuple[str, ...]:
    """Host names in lower case; in the environment with commas between, or a JSON list."""
    setting = ("PROVIDER_ADMIN_HOSTS", "server.admin_hosts")
    value = source.json_or_text(*setting)
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    names = tuple(item.strip().lower() if isinstance(item, str) else "" for item in items)
    if not all(HOST_NAME.fullmatch(name) for name in names) or not isinstance(value, str | list | None):
        source.fault(*setting, "must be a list of host names without ports, such as provider.example")
        return ()
    return names


def _admin(source: Source) -> Listener | None:
    return source.listener(
        "PROVIDER_ADMIN_URL",
        "server.admin_url",
        "http://127.0.0.1:8031",
        https_fault="this listener speaks plain HTTP only",
    )


def _metadata(source: Source) -> MetadataSettings:
    start = source.integer("PROVIDER_INDEX_START_BLOCK", "metadata.index_start_block", -1, minimum=-1, maximum=1 << 48)
    return MetadataSettings(
        aquarius_url=source.url("AQUARIUS_URL", "metadata.aquarius_url"),
        timeout_seconds=source.seconds(
            "PROVIDER_METADATA_TIMEOUT_SECONDS", "metadata.timeout_seconds", 10.0, minimum=0.1, maximum=120.0
        ),
        index_start_block=start if start >= 0 else None,
        index_poll_seconds=source.seconds(
            "PROVIDER_INDEX_POLL_SECONDS", "metadata.index_poll_seconds", 15.0, minimum=0.1, maximum=3600.0
        ),
        index_batch_blocks=source.integer(
            "PROVIDER_INDEX_BATCH_BLOCKS", "metadata.index_batch_blocks", 1000, minimum=1, maximum=1_000_000
        ),
        max_document_bytes=source.integer(
            "PROVIDER_MAX_DOCUMENT_BYTES", "metadata.max_document_bytes", 5 << 20, minimum=1024, maximum=1 << 28
        ),
    )


def _upstream(source: Source) -> UpstreamSettings:
    return UpstreamSettings(
        connect_timeout_seconds=source.seconds(
            "PROVIDER_CONNECT_TIMEOUT_SECONDS", "upstream.connect_timeout_seconds", 5.0, minimum=0.1, maximum=120.0
        ),
        first_byte_timeout_seconds=source.seconds(
            "REQUEST_TIMEOUT", "upstream.first_byte_timeout_seconds", 10.0, minimum=0.1, maximum=3600.0
        ),
        idle_timeout_seconds=source.seconds(
            "PROVIDER_IDLE_TIMEOUT_SECONDS", "upstream.idle_timeout_seconds", 60.0, minimum=0.1, maximum=DAY_SECONDS
        ),
        attempts=source.integer("REQUEST_RETRIES", "upstream.attempts", 1, minimum=1, maximum=10),
        max_resumes=source.integer("PROVIDER_MAX_RESUMES", "upstream.max_resumes", 50, minimum=0, maximum=100_000),
        max_idle_connections=source.integer(
            "PROVIDER_MAX_IDLE_CONNECTIONS", "upstream.max_idle_connections", 256, minimum=0, maximum=65_536
        ),
        quiet_seconds=source.seconds(
            "PROVIDER_ORIGIN_QUIET_SECONDS", "upstream.quiet_seconds", 0.05, minimum=0.0, maximum=60.0
        ),
        allow_non_public_ip=source.boolean("ALLOW_NON_PUBLIC_IP", "upstream.allow_non_public_ip", False),
        max_checksum_bytes=source.integer(
            "MAX_CHECKSUM_LENGTH", "upstream.max_checksum_bytes", 5_242_880, minimum=0, maximum=1 << 50
        ),
        ipfs_gateways=read_gateways(source, "IPFS_GATEWAY", "upstream.ipfs_gateway", "https://ipfs.io"),
        arweave_gateways=read_gateways(source, "ARWEAVE_GATEWAY", "upstream.arweave_gateway", "https://arweave.net/"),
        dns_servers=read_dns_servers(source),
    )


def _cache(source: Source) -> CacheSettings:
    def ttl(name: str, default: float) -> float:
        return source.seconds(
            f"PROVIDER_CACHE_{name.upper()}_SECONDS", f"cache.{name}_seconds", default, minimum=0.0, maximum=DAY_SECONDS
        )

    def size(name: str, default: int) -> int:
        return source.integer(
            f"PROVIDER_CACHE_{name.upper()}_ENTRIES", f"cache.{name}_entries", default, minimum=1, maximum=10_000_000
        )

    return CacheSettings(
        ddo_seconds=ttl("ddo", 60.0),
        ddo_entries=size("ddo", 2_000),
        state_seconds=ttl("state", 30.0),
        state_entries=size("state", 20_000),
        receipt_seconds=ttl("receipt", 3600.0),
        receipt_entries=size("receipt", 20_000),
        files_seconds=ttl("files", 30.0),
        files_entries=size("files", 1_000),
    )


def _limits(source: Source) -> LimitSettings:
    def limit(name: str, maximum: int) -> int:
        return source.integer(f"PROVIDER_{name.upper()}", f"limits.{name}", 0, minimum=0, maximum=maximum)

    return LimitSettings(
        max_streams_per_consumer=limit("max_streams_per_consumer", 1_000_000),
        max_bytes_per_second_per_stream=limit("max_bytes_per_second_per_stream", (1 << 32) - 2),
        max_bytes_per_second_per_consumer=limit("max_bytes_per_second_per_consumer", (1 << 32) - 2),
    )


def _authorized_decrypters(source: Source) -> frozenset[str]:
    variable, key = "AUTHORIZED_DECRYPTERS", "security.authorized_decrypters"
    value = source.json_or_text(variable, key)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(item, str) and ADDRESS.fullmatch(item) for item in value):
        source.fault(
            variable, key, "must be a JSON list of addresses; it decides who may decrypt, so nothing is guessed"
        )
        return frozenset()
    return frozenset(item.lower() for item in value)


def _addresses_text(source: Source) -> str:
    path = source.text("ADDRESS_FILE", "chains.address_file")
    text = source.read_file("ADDRESS_FILE", "chains.address_file", path) if path else None
    if text is None:
        return ""
    try:
        if not isinstance(orjson.loads(text), dict):
            raise ValueError
    except ValueError:
        source.fault("ADDRESS_FILE", "chains.address_file", f"{path} is not a JSON object of networks")
        return ""
    return text


def _log(source: Source) -> LogSettings:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    return LogSettings(
        level=source.choice("LOG_LEVEL", "log.level", "INFO", levels),
        format=source.choice("PROVIDER_LOG_FORMAT", "log.format", "auto", ("auto", "json", "text")),
    )
