"""The checksum of an algorithm's container (pure; `provider-api.md` section 10.3)."""

import hashlib
from collections.abc import Mapping


def container_checksum(container: Mapping[str, object] | None) -> str | None:
    """`containerSectionChecksum`: hex sha256 of `entrypoint + checksum`; None when one of them is no text."""
    entrypoint, checksum = (container or {}).get("entrypoint"), (container or {}).get("checksum")
    if not isinstance(entrypoint, str) or not isinstance(checksum, str):
        return None
    return hashlib.sha256((entrypoint + checksum).encode("utf-8", "surrogatepass")).hexdigest()
