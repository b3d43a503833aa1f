"""All settings: the configs of the rooms, read from an environment and a TOML file."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from provider.admission.config import AdmissionConfig
from provider.assets.config import MetadataConfig
from provider.auth.config import IdentityConfig
from provider.books.config import BooksConfig
from provider.cache import CacheConfig
from provider.chain.config import ChainConfig, RpcConfig
from provider.compute.config import ComputeConfig
from provider.config.chains import read_addresses, read_chains
from provider.config.reader import Reader, SettingsError, SettingsWarning, read_table
from provider.config.server import Listener, ServerConfig, read_admin, read_server
from provider.files.sources.config import SourcesConfig
from provider.links.config import LinkConfig
from provider.observability.config import LogConfig, ObservingConfig
from provider.outgoing.proxies import Proxies
from provider.policy.config import AccessConfig, SecurityConfig
from provider.proofs.config import ProofConfig
from provider.quotas.config import QuotaConfig
from provider.redis.config import RedisConfig, RedisConnection
from provider.redis.url import RedisTarget, parse_target
from provider.setting import settings_of, text
from provider.slices.config import SliceConfig
from provider.streaming.config import StreamConfig
from provider.upstream.config import UpstreamConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked values. `addresses_text` is the content of the address file, "" for the bundled one."""

    server: ServerConfig
    chains: tuple[ChainConfig, ...]
    addresses_text: str = field(repr=False)
    rpc: RpcConfig
    metadata: MetadataConfig
    upstream: UpstreamConfig
    proxies: Proxies
    cache: CacheConfig
    slices: SliceConfig
    limits: StreamConfig
    links: LinkConfig
    books: BooksConfig
    quotas: QuotaConfig
    admission: AdmissionConfig
    security: SecurityConfig
    access: AccessConfig
    proofs: ProofConfig
    identity: IdentityConfig
    log: LogConfig
    observing: ObservingConfig
    redis: RedisConfig | None
    compute: ComputeConfig
    sources: SourcesConfig
    warnings: tuple[SettingsWarning, ...] = ()
    storage_path: str = text(
        "STORAGE_PATH",
        "ocean-provider.db",
        key="storage.path",
        help="The SQLite file of nonces and revoked tokens. It must be on a local disk that survives restarts.",
    )


def load_settings(environ: Mapping[str, str], config_path: str | None = None) -> Settings:
    """Read all settings. `config_path` overrides `PROVIDER_CONFIG_FILE`. Raises SettingsError with every fault."""
    reader = _reader(environ, config_path)
    if reader.environment("LOG_CFG"):
        reader.warn("LOG_CFG is ignored", "unset it; set LOG_LEVEL and PROVIDER_LOG_FORMAT instead")
    chains, universal_key = read_chains(reader)
    settings = reader.read(
        Settings,
        chains=chains,
        security=reader.read(SecurityConfig, universal_key=universal_key),
        server=read_server(reader),
        addresses_text=read_addresses(reader),
        rpc=reader.read(RpcConfig),
        metadata=reader.read(MetadataConfig),
        upstream=reader.read(UpstreamConfig),
        proxies=reader.read(Proxies),
        cache=reader.read(CacheConfig),
        slices=reader.read(SliceConfig),
        limits=reader.read(StreamConfig),
        links=reader.read(LinkConfig),
        books=_books(reader),
        quotas=reader.read(QuotaConfig),
        admission=reader.read(AdmissionConfig),
        access=reader.read(AccessConfig),
        proofs=_proofs(reader),
        identity=reader.read(IdentityConfig),
        log=reader.read(LogConfig),
        observing=reader.read(ObservingConfig),
        redis=_redis(reader),
        compute=reader.read(ComputeConfig),
        sources=read_sources(reader),
    )
    reader.note_unknown()
    if reader.faults:
        raise SettingsError(reader.faults, reader.warnings)
    return replace(settings, warnings=tuple(reader.warnings))


def load_admin_listener(environ: Mapping[str, str], config_path: str | None = None) -> Listener | None:
    """Read only the admin listener, None if it is off. No key is read. Raises SettingsError."""
    reader = _reader(environ, config_path)
    listener = read_admin(reader)
    if reader.faults:
        raise SettingsError(reader.faults, reader.warnings)
    return listener


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What is needed to ask the hosts of files."""

    upstream: UpstreamConfig
    sources: SourcesConfig


def load_file_settings(environ: Mapping[str, str], config_path: str | None = None) -> FileSettings:
    """The settings for files alone: no node and no key is named for them. Raises SettingsError."""
    reader = _reader(environ, config_path)
    found = FileSettings(reader.read(UpstreamConfig), read_sources(reader))
    if reader.faults:
        raise SettingsError(reader.faults, reader.warnings)
    return found


def load_books_file(environ: Mapping[str, str], config_path: str | None = None) -> Path:
    """The file of the books alone: no key is read for it. Raises SettingsError."""
    reader = _reader(environ, config_path)
    books, storage_path = reader.read(BooksConfig), reader.value(settings_of(Settings)["storage_path"])
    if reader.faults:
        raise SettingsError(reader.faults, reader.warnings)
    return Path(books.file(str(storage_path)))


def _reader(environ: Mapping[str, str], config_path: str | None) -> Reader:
    return Reader(environ, read_table(config_path or environ.get("PROVIDER_CONFIG_FILE", "").strip() or None))


def _books(reader: Reader) -> BooksConfig:
    books = reader.read(BooksConfig)
    if books.probe_seconds and not books.ledger:
        reader.warn(
            "PROVIDER_PROBE_SECONDS is ignored, because no sale is recorded", "turn PROVIDER_BOOKS on, or unset it"
        )
    return books


def _proofs(reader: Reader) -> ProofConfig:
    proofs = reader.read(ProofConfig)
    if proofs.http_url is None or not proofs.on_chain:
        return proofs
    reader.warn("USE_CHAIN_PROOF is ignored, because USE_HTTP_PROOF is set", "unset one of the two")
    return replace(proofs, on_chain=False)


def _redis(reader: Reader) -> RedisConfig | None:
    """Read the settings of Redis, None without a connection. Faults are noted in `reader` and never show the URL."""
    given = reader.read(RedisConnection)
    target = _redis_target(reader, given)
    ca_file = _ca_file(reader, given.ca_file)
    # Read in any case, so that faults are found and the file's keys are known.
    config = reader.read(RedisConfig, target=target)
    if target is None:
        return None
    if ca_file is not None and not target.uses_tls:
        reader.fault("PROVIDER_REDIS_CA_FILE", "is for rediss:// only, and REDIS_CONNECTION does not use TLS")
    return replace(config, target=replace(target, ca_file=ca_file, sentinel_password=given.sentinel_password))


def _redis_target(reader: Reader, given: RedisConnection) -> RedisTarget | None:
    text, variable = given.connection, "REDIS_CONNECTION"
    if given.connection_file is not None:
        variable = "REDIS_CONNECTION_FILE"
        if text is not None:
            reader.fault(variable, "give one of REDIS_CONNECTION and REDIS_CONNECTION_FILE, not both")
            return None
        content = reader.read_file(variable, given.connection_file, of_secret=True)
        text = content.strip() if content is not None else None
    if text is None:
        return None
    try:
        return parse_target(text)
    except ValueError as error:
        reader.fault(variable, str(error))
        return None


def _ca_file(reader: Reader, path: str | None) -> str | None:
    if path is None or reader.read_file("PROVIDER_REDIS_CA_FILE", path) is None:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        reader.fault("PROVIDER_REDIS_CA_FILE", f"{path} holds no PEM certificates")
        return None
    return path


def read_sources(reader: Reader) -> SourcesConfig:
    """Read the named sources, and check that their files with secrets can be read. Faults are noted in `reader`."""
    sources = reader.read(SourcesConfig)
    for source in sources.all:
        for key, path in source.secret_files.items():
            reader.read_file(f"sources.{source.name}.{key}", path, of_secret=True)
    return sources
