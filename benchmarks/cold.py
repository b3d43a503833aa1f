"""A server of ours that remembers nothing between two requests."""

from collections.abc import Mapping

COLD = "provider, caches off"
# The index follows the chain on its own; here only what requests ask for is to be counted.
COLD_SETTINGS: Mapping[str, str] = {
    "PROVIDER_CACHE_DDO_SECONDS": "0",
    "PROVIDER_CACHE_STATE_SECONDS": "0",
    "PROVIDER_CACHE_RECEIPT_SECONDS": "0",
    "PROVIDER_CACHE_FILES_SECONDS": "0",
    "PROVIDER_MAX_IDLE_CONNECTIONS": "0",
}
