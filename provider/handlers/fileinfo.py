"""`POST fileinfo`: do the files behind a service, or behind a file object, answer?"""

import asyncio
from collections.abc import Sequence

from provider.assets.catalog import Catalog
from provider.assets.consumer_parameters import check_parameters
from provider.errors import FilesUndecryptable, named_network
from provider.files.file_object import parse_file_object
from provider.files.opener import FileListOpener
from provider.files.origins import FileOrigins
from provider.files.userdata import Userdata
from provider.handlers.base import Endpoint, Frame
from provider.handlers.file_params import read_userdata
from provider.handlers.params import FileInfoRequest
from provider.upstream.inspect import FileInfo

# How many files of one list are asked at a time: anybody may call this, so one call must not become a flood [K15].
FILES_AT_ONCE = 4


class FileInfoEndpoint(Endpoint):
    """Answers with one item per file; one that cannot be reached is `valid: false`, not an error."""

    endpoint = "fileinfo"

    def initialize(
        self, *, frame: Frame, catalog: Catalog, files: FileListOpener, origins: FileOrigins, max_checksum_bytes: int
    ) -> None:
        """`max_checksum_bytes` bounds what is read for a checksum; 0 means never."""
        super().initialize(frame=frame)
        self._catalog = catalog
        self._files = files
        self._origins = origins
        self._max_checksum_bytes = max_checksum_bytes

    async def handle(self) -> None:
        """`provider-api.md` section 5.4."""
        request = FileInfoRequest.parse(self.arguments())
        userdata = read_userdata(request.userdata)
        raw_files, chain_id = await self._raw_files(request, userdata)
        files = [parse_file_object(raw, party=request.did if chain_id is not None else "") for raw in raw_files]
        if request.with_checksum and self.ticket is not None:
            self.ticket.check_pace()
        turn = asyncio.Semaphore(FILES_AT_ONCE)

        async def describe(index: int) -> dict[str, object]:
            async with turn:
                info = await self._origins.inspect(
                    files[index],
                    userdata,
                    want_checksum=request.with_checksum,
                    max_checksum_bytes=self._max_checksum_bytes,
                    chain_id=chain_id,
                )
            if info.checksum and self.ticket is not None:
                self.ticket.charge(int(info.content_length or 0))
            return item(index, files[index].type, info)

        self.reply_json(list(await asyncio.gather(*(describe(index) for index in range(len(files))))))

    async def _raw_files(self, request: FileInfoRequest, userdata: Userdata) -> tuple[Sequence[object], int | None]:
        """The file objects, and the chain of their asset if there is one."""
        if request.file_object is not None:
            return [request.file_object], None
        asset, network = await self._catalog.find(request.did)
        with named_network(network.name):
            service = asset.service(request.service_id)
            if userdata.values:
                # They go to the origin, and nobody has signed this request. Clients also ask without any.
                check_parameters(service.consumer_parameters, userdata.values, field="userdata")
            files = self._files.open(network.account, asset, service)
            if not len(files):
                raise FilesUndecryptable
            return files.items, network.chain_id


def item(index: int, kind: str, info: FileInfo) -> dict[str, object]:
    """One item of the answer (wire keys)."""
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
