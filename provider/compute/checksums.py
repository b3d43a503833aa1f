"""Checksums of algorithms, computed only where a publisher demands them [K34] (`provider-api.md` section 10.3)."""

import hashlib
from collections.abc import Mapping

from provider.cache import FactCache
from provider.compute.items import ALGORITHM, ResolvedItem
from provider.errors import ComputeRefused, FileError, GatewayUnset, RequestError
from provider.files.file_object import FileObject
from provider.files.opener import FileListOpener, file_of
from provider.files.origins import FileOrigins
from provider.files.userdata import NO_USERDATA
from provider.upstream.charges import check_bytes

# An algorithm is a script or two. Each of its files is read as a whole.
MAX_FILES = 20


ChecksumKey = tuple[str, str, str]
"""DID, service id, encrypted files."""


class AlgorithmChecksums:
    """Computes checksums of algorithms.

    `max_file_bytes`: limit for each file; 0 disables checksums.
    `cache`: keeps them for seconds. Anybody may ask for a quote, which must not make us read files again and again.
    """

    def __init__(
        self,
        *,
        files: FileListOpener,
        origins: FileOrigins,
        max_file_bytes: int,
        cache: FactCache[ChecksumKey, str],
    ) -> None:
        self._cache = cache
        self._files = files
        self._origins = origins
        self._max_file_bytes = max_file_bytes

    async def files(self, algorithm: ResolvedItem) -> str:
        """Return `filesChecksum`: the hex sha256 of each file, joined without separator.

        Raises ComputeRefused, TooManyRequests.
        """
        key = (algorithm.asset.did, algorithm.service.id, algorithm.service.files)
        return await self._cache.get(key, lambda: self._read(algorithm))

    async def _read(self, algorithm: ResolvedItem) -> str:
        check_bytes()
        try:
            opened = self._files.open(algorithm.network.account, algorithm.asset, algorithm.service)
            if not 0 < len(opened) <= MAX_FILES:
                raise _unavailable(f"{len(opened)} files")
            digests = [await self._digest(file_of(raw, algorithm.asset), algorithm) for raw in opened.items]
        except (FileError, GatewayUnset, RequestError) as error:
            raise _unavailable(error.detail or str(error)) from error
        return "".join(digests)

    async def _digest(self, file: FileObject, algorithm: ResolvedItem) -> str:
        info = await self._origins.inspect(
            file,
            NO_USERDATA,
            want_checksum=True,
            max_checksum_bytes=self._max_file_bytes,
            chain_id=algorithm.network.chain_id,
        )
        if info.checksum is None:
            raise _unavailable("a file cannot be read, or is longer than MAX_CHECKSUM_LENGTH")
        return info.checksum

    def container(self, algorithm: ResolvedItem) -> str | None:
        """Return `containerSectionChecksum`, or None without a container."""
        return container_checksum(algorithm.asset.container)


def _unavailable(why: str) -> ComputeRefused:
    return ComputeRefused(ALGORITHM, "file_unavailable", detail=f"checksum: {why}")


def container_checksum(container: Mapping[str, object] | None) -> str | None:
    """Return `containerSectionChecksum`: hex sha256 of `entrypoint + checksum`; None if one is not a string. Pure."""
    entrypoint, checksum = (container or {}).get("entrypoint"), (container or {}).get("checksum")
    if not isinstance(entrypoint, str) or not isinstance(checksum, str):
        return None
    return hashlib.sha256((entrypoint + checksum).encode("utf-8", "surrogatepass")).hexdigest()
