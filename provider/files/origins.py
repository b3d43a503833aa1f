"""Opens every kind of file: a file object and the request's wishes in, an open `Source` out.

`resolve.py`, `s3.py` and `contract_abi.py` decide what to request for each kind. The upstream room makes connections.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from provider.chain.abi import AbiError, bytes_of_hex
from provider.chain.contracts import foreign_call
from provider.chain.jsonrpc import RpcFault
from provider.chain.networks import Networks
from provider.errors import ContractCallFailed, FileObjectInvalid, GatewayUnset, UpstreamError
from provider.files.file_object import (
    ArweaveFile,
    FileObject,
    FtpFile,
    GraphqlFile,
    IpfsFile,
    S3File,
    SmartContractFile,
    SourceFile,
    UrlFile,
)
from provider.files.resolve import asked_of, resolve, resolve_gateway, resolve_graphql
from provider.files.s3_origin import S3Origin
from provider.files.sources.sources import Sources
from provider.files.userdata import Userdata
from provider.override import override
from provider.upstream.answer import Refused, answer_of
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.ftp_url import parse_ftp_url
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.inspect import FileInfo, inspect
from provider.upstream.memory_source import MemorySource
from provider.upstream.request_head import PreparedRequest, prepare
from provider.upstream.resume import Rest, for_rest
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Wishes:
    userdata: Userdata
    asked: Wish
    chain_id: int | None
    rest: Rest | None


_Opener = Callable[[Any, _Wishes], Awaitable[Source]]


class FileOpener(Protocol):
    """Opens files: at their origins (`FileOrigins`), or from a cache in front of them."""

    async def open(
        self,
        file: FileObject,
        userdata: Userdata,
        asked: Wish,
        *,
        chain_id: int | None = None,
        rest: Rest | None = None,
    ) -> Source:
        """Open a file.

        The caller judges the answer with `upstream.answer`. Answers of gateways are judged here, since another gateway
        may do better.

        Args:
            file: the file object.
            userdata: the consumer's user data.
            asked: result of `resolve.asked_of`.
            chain_id: the asset's chain, for contracts that name none.
            rest: replaces any Range after an earlier answer broke off. The caller checks that the new answer carries
                it.

        Raises:
            UpstreamError: the origin failed, or must not be contacted.
            FileObjectInvalid, UserdataInvalid: this file and these user data make no valid request.
            SourceRefused: the file's asset may not sell it.
            GatewayUnset, UnsupportedChain, ChainUnavailable: this Provider cannot reach this kind of file at all, or
                not now.
        """


def _prepared(file: UrlFile) -> PreparedRequest:
    """The request for the file without what a consumer may add."""
    return prepare(resolve(file, file.userdata or {}, NO_WISH))


class FileOrigins(FileOpener):
    """Opens and inspects files. Owns what that needs and closes it. Calls contracts on `networks`."""

    def __init__(
        self,
        *,
        http: HttpOrigin,
        ipfs: Gateways,
        arweave: Gateways,
        ftp: FtpOrigin,
        networks: Networks,
        sources: Sources,
    ) -> None:
        self._http = http
        self._ipfs = ipfs
        self._arweave = arweave
        self._ftp = ftp
        self._s3 = S3Origin(own=http, guarded=http)
        self._networks = networks
        self._sources = sources
        self._openers: Mapping[type, _Opener] = {
            UrlFile: self._open_url,
            IpfsFile: self._open_ipfs,
            ArweaveFile: self._open_arweave,
            GraphqlFile: self._open_graphql,
            SmartContractFile: self._open_contract,
            S3File: self._open_s3,
            FtpFile: self._open_ftp,
            SourceFile: self._open_source,
        }

    @override
    async def open(
        self,
        file: FileObject,
        userdata: Userdata,
        asked: Wish,
        *,
        chain_id: int | None = None,
        rest: Rest | None = None,
    ) -> Source:
        return await self._openers[type(file)](file, _Wishes(userdata, asked, chain_id, rest))

    async def inspect(
        self,
        file: FileObject,
        userdata: Userdata,
        *,
        want_checksum: bool = False,
        max_checksum_bytes: int = 0,
        chain_id: int | None = None,
    ) -> FileInfo:
        """Describe the file for fileinfo (sections 11.3, 11.4). Raises what `open` raises, except UpstreamError."""
        if isinstance(file, SmartContractFile):
            return await self._inspect_contract(
                file, _Wishes(userdata, NO_WISH, chain_id, None), want_checksum=want_checksum
            )
        asked = asked_of(file, NO_WISH)
        return await inspect(
            self.open(file, userdata, asked, chain_id=chain_id),
            wish=asked,
            want_checksum=want_checksum,
            max_checksum_bytes=max_checksum_bytes,
            name_from_url=not isinstance(file, ArweaveFile),
        )

    async def _open_url(self, file: UrlFile, wishes: _Wishes) -> Source:
        if not wishes.userdata.values and wishes.rest is None and not wishes.asked.fields:
            return await self._http.open(file.plain(_prepared))
        request = resolve(file, wishes.userdata.over(file.userdata), wishes.asked)
        return await self._http.open(for_rest(request, wishes.rest))

    async def _open_ipfs(self, file: IpfsFile, wishes: _Wishes) -> Source:
        if not len(self._ipfs):
            raise GatewayUnset("No IPFS_GATEWAY defined, can not resolve ipfs hash.")
        return await self._open_gateway(self._ipfs, file, wishes)

    async def _open_arweave(self, file: ArweaveFile, wishes: _Wishes) -> Source:
        if not len(self._arweave):
            raise GatewayUnset("No ARWEAVE_GATEWAY defined, can not resolve arweave transaction id.")
        return await self._open_gateway(self._arweave, file, wishes)

    async def _open_gateway(self, gateways: Gateways, file: IpfsFile | ArweaveFile, wishes: _Wishes) -> Source:
        values, asked, rest = wishes.userdata.over(file.userdata), wishes.asked, wishes.rest

        def is_an_answer(source: Source) -> bool:
            return not isinstance(answer_of(asked, source), Refused)

        return await gateways.open(
            lambda gateway: for_rest(resolve_gateway(file, gateway, values, asked), rest),
            accepts=rest.is_in if rest is not None else is_an_answer,
            resuming=rest is not None,
        )

    async def _open_graphql(self, file: GraphqlFile, wishes: _Wishes) -> Source:
        values = wishes.userdata.needed_over(file.userdata)
        return await self._http.open(for_rest(resolve_graphql(file, values, wishes.asked), wishes.rest))

    async def _open_s3(self, file: S3File, wishes: _Wishes) -> Source:
        return await self._s3.open(file, wishes.asked.fields if wishes.rest is None else wishes.rest.fields)

    async def _open_ftp(self, file: FtpFile, wishes: _Wishes) -> Source:
        rest = wishes.rest
        return await self._ftp.open(
            parse_ftp_url(file.url),
            wishes.asked.ranges if rest is None else rest.range_header,
            if_range=wishes.asked.if_range if rest is None else rest.validator,
        )

    async def _open_source(self, file: SourceFile, wishes: _Wishes) -> Source:
        return await self._sources.open(file, wishes.asked, rest=wishes.rest)

    async def _open_contract(self, file: SmartContractFile, wishes: _Wishes) -> Source:
        return MemorySource((await self._result(file, wishes)).encode(), content_type=_JSON, wish=wishes.asked)

    async def _inspect_contract(self, file: SmartContractFile, wishes: _Wishes, *, want_checksum: bool) -> FileInfo:
        try:
            text = await self._result(file, wishes)
        except UpstreamError as failure:
            return FileInfo(valid=False, failure=failure)
        checksum = hashlib.sha256(text.encode()).hexdigest() if want_checksum else None
        return FileInfo(valid=True, content_length=len(text), content_type=_JSON, filename=None, checksum=checksum)

    async def _result(self, file: SmartContractFile, wishes: _Wishes) -> str:
        """JSON text of the function's result, by one `eth_call` at the latest block."""
        values = wishes.userdata.needed_over(file.userdata)
        network = self._networks.get(self._chain_id(file, wishes))
        # In a thread: the first call imports a library, and long results take time.
        data = await asyncio.to_thread(file.function.encode, values)
        (answer,) = await network.rpc.batch([foreign_call(file.address, "0x" + data.hex())])
        if isinstance(answer, RpcFault):
            # Every node would report the same revert. Its text is not for strangers.
            raise ContractCallFailed(detail=f"eth_call: code {answer.code}")
        try:
            result = bytes_of_hex(answer)
        except AbiError:
            raise ContractCallFailed(detail="eth_call: no hex data") from None
        return await asyncio.to_thread(_result_text, partial(file.function.decode, result))

    def _chain_id(self, file: SmartContractFile, wishes: _Wishes) -> int:
        """Chain id of the file object, else of the asset, else of the only configured network."""
        chain_id = file.chain_id or wishes.chain_id
        if chain_id is not None:
            return chain_id
        if len(self._networks) == 1:
            return self._networks.chain_ids[0]
        raise FileObjectInvalid


def _result_text(decode: Callable[[], object]) -> str:
    # Not orjson: integers of contracts have 256 bits.
    return json.dumps(decode())
