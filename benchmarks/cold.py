"""Settings of a server of ours that caches nothing between two requests."""

from collections.abc import Mapping

COLD = "provider, caches off"
# The index follows the chain independently. Only the calls that requests cause are counted here.
COLD_SETTINGS: Mapping[str, str] = {
    "PROVIDER_CACHE_DDO_SECONDS": "0",
    "PROVIDER_CACHE_STATE_SECONDS": "0",
    "PROVIDER_CACHE_RECEIPT_SECONDS": "0",
    "PROVIDER_CACHE_FILES_SECONDS": "0",
    "PROVIDER_MAX_IDLE_CONNECTIONS": "0",
}
