"""Settings of the source of DDOs."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import integer, seconds, url


@dataclass(frozen=True, slots=True)
class MetadataConfig:
    """A metadata store, or without `aquarius_url` the chain itself. `index_start_block` -1: from the address file."""

    SECTION: ClassVar = "metadata"

    aquarius_url: str | None = url(
        "AQUARIUS_URL",
        help="URL of the metadata store: Aquarius or an ocean-node. Default: none; the chain's own logs are read.",
        example="http://aquarius:5000",
    )
    timeout_seconds: float = seconds(
        "PROVIDER_METADATA_TIMEOUT_SECONDS",
        10,
        minimum=0.1,
        maximum=120,
        help="Limit of one request to the metadata store, and of fetching a document that is stored elsewhere.",
    )
    index_start_block: int = integer(
        "PROVIDER_INDEX_START_BLOCK",
        -1,
        minimum=-1,
        maximum=1 << 48,
        help="First block to read when there is no metadata store. -1 takes it from the address file.",
    )
    index_poll_seconds: float = seconds(
        "PROVIDER_INDEX_POLL_SECONDS",
        15,
        minimum=0.1,
        maximum=3600,
        help="Interval at which the chain is read. With Redis, one of the hosts does it for all.",
    )
    index_batch_blocks: int = integer(
        "PROVIDER_INDEX_BATCH_BLOCKS",
        10_000,
        minimum=1,
        maximum=1_000_000,
        help="Most blocks per query. Fewer are asked for when the node refuses or their logs take more than 512 KiB.",
    )
    max_document_bytes: int = integer(
        "PROVIDER_MAX_DOCUMENT_BYTES",
        5 << 20,
        minimum=1024,
        maximum=1 << 28,
        help="Longest document (DDO) that is fetched, decrypted and decompressed, in bytes.",
    )
