"""`POST fileinfo`: checks whether the files behind a service or a file object can be opened."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from provider.assets.catalog import Catalog
from provider.assets.consumer_parameters import check_parameters
from provider.assets.ddo import Asset, Service
from provider.cache import FactCache
from provider.errors import FileListTooLong, FilesUndecryptable, OriginsBusy, ProviderError, named_network
from provider.files.file_list import MAX_FILES
from provider.files.file_object import kind_of, parse_file_object
from provider.files.opener import FileListOpener, file_of
from provider.files.origins import FileOrigins
from provider.files.userdata import Userdata, as_json
from provider.handlers.base import Endpoint
from provider.handlers.downloads.file_params import read_userdata
from provider.handlers.downloads.many_files import each_file
from provider.handlers.params import FileInfoRequest
from provider.upstream.charges import charged_to, first_request_paid
from provider.upstream.inspect import FileInfo

# Header fields of origins can make answers long. Longer answers are not kept.
MAX_KEPT_BYTES = 64 * 1024

Items = list[object]
"""One object for each file, in the words of the wire."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The raw file objects of a service, its asset, and the key of the answer about them."""

    items: Sequence[object] = field(repr=False)
    asset: Asset
    key: bytes


@dataclass(frozen=True, slots=True)
class FileInfoDeps:
    """`answers`: shared by requests for the same list. `max_checksum_bytes`: 0 disables checksums."""

    catalog: Catalog
    files: FileListOpener
    origins: FileOrigins
    answers: FactCache[bytes, Items]
    max_checksum_bytes: int


class FileInfoEndpoint(Endpoint[FileInfoDeps]):
    """Replies with one item per file. An unreachable file is `valid: false`, not an error."""

    endpoint = "fileinfo"

    async def handle(self) -> None:
        """`provider-api.md` section 5.4."""
        request = FileInfoRequest.parse(self.arguments())
        userdata = read_userdata(request.userdata)
        if request.with_checksum and self.ticket is not None:
            self.ticket.check_pace()
        with charged_to(self.ticket):
            if request.file_object is not None:
                with first_request_paid():
                    info = await self._inspect(request.file_object, userdata, None, checksum=request.with_checksum)
                self.reply_json([item(0, kind_of(request.file_object), info)])
                return
            files = await self._listed(request, userdata)

            async def fetch() -> Items:
                return await self._inspect_all(files, userdata, checksum=request.with_checksum)

            self.reply_json(await self.deps.answers.get(files.key, fetch, ttl_seconds=self._kept_seconds))

    def _kept_seconds(self, items: Items) -> float:
        return self.deps.answers.ttl_seconds if len(orjson.dumps(items)) <= MAX_KEPT_BYTES else 0.0

    async def _inspect_all(self, files: Listed, userdata: Userdata, *, checksum: bool) -> Items:
        """Inspect all files; one item each."""

        async def describe(index: int) -> dict[str, object]:
            raw = files.items[index]
            try:
                with first_request_paid():
                    info = await self._inspect(raw, userdata, files, checksum=checksum)
            except OriginsBusy:
                # This refusal says nothing about the file, and answers are kept.
                raise
            except ProviderError:
                # If one file cannot be asked for, the other files may still be fine.
                info = FileInfo(valid=False)
            return item(index, kind_of(raw), info)

        return list(await each_file(len(files.items), describe, self.ticket))

    async def _inspect(self, raw: object, userdata: Userdata, listed: Listed | None, *, checksum: bool) -> FileInfo:
        return await self.deps.origins.inspect(
            parse_file_object(raw) if listed is None else file_of(raw, listed.asset),
            userdata,
            want_checksum=checksum,
            max_checksum_bytes=self.deps.max_checksum_bytes,
            chain_id=listed.asset.chain_id if listed is not None else None,
        )

    async def _listed(self, request: FileInfoRequest, userdata: Userdata) -> Listed:
        """Return the files of an asset's service. Raises what its catalog and its list raise."""
        asset, network = await self.deps.catalog.find(request.did)
        with named_network(network.name):
            service = asset.service(request.service_id)
            if userdata.values:
                # The user data go to the origin, although nobody signed this request. Clients may also send none.
                check_parameters(service.consumer_parameters, userdata.values, field="userdata")
            files = self.deps.files.open(network.account, asset, service)
            if not len(files):
                raise FilesUndecryptable
            if len(files) > MAX_FILES:
                raise FileListTooLong
        return Listed(files.items, asset, _key(network.chain_id, asset, service, userdata, request))


def _key(chain_id: int, asset: Asset, service: Service, userdata: Userdata, request: FileInfoRequest) -> bytes:
    """Return a key made from everything that the answer depends on.

    It includes the ciphertext, so that an edited asset is noticed at once.
    """
    sent = (as_json(userdata.values), userdata.is_broken, request.with_checksum)
    return hashlib.sha256(repr((chain_id, asset.did, service.id, service.files, *sent)).encode()).digest()


def item(index: int, kind: str, info: FileInfo) -> dict[str, object]:
    """Make one item of the answer (wire keys)."""
    described: dict[str, object] = {"index": index, "type": kind, "valid": info.valid}
    if info.valid:
        described |= {
            "contentLength": info.content_length,
            "contentType": info.content_type,
        }
        if info.filename is not None:
            described["filename"] = info.filename
        if info.checksum:
            described |= {"checksum": info.checksum, "checksumType": "sha256"}
    return described
