"""Every kind of file behind one door: a file object and the request's wishes in, an open `Source` out.

What each kind asks for is decided in `resolve.py`, `s3.py` and `contract_abi.py`; connections are the upstream room's.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

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
    UrlFile,
)
from provider.files.resolve import resolve, resolve_gateway, resolve_graphql
from provider.files.userdata import Userdata
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.ftp_url import parse_ftp_url
from provider.upstream.gateways import Gateways
from provider.upstream.http_source import HttpOrigin
from provider.upstream.inspect import FileInfo, inspect
from provider.upstream.memory_source import MemorySource
from provider.upstream.request_head import PreparedRequest
from provider.upstream.resume import Rest, for_rest
from provider.upstream.source import Source

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Wishes:
    userdata: Userdata
    range_header: str | None
    chain_id: int | None
    rest: Rest | None


_Opener = Callable[[Any, _Wishes], Awaitable[Source]]


class FileOrigins:
    """Opens and inspects files; holds what that needs and closes it. Contracts are asked on `networks`."""

    def __init__(
        self, *, http: HttpOrigin, ipfs: Gateways, arweave: Gateways, ftp: FtpOrigin, networks: Networks
    ) -> None:
        self._http = http
        self._ipfs = ipfs
        self._arweave = arweave
        self._ftp = ftp
        self._networks = networks
        self._openers: Mapping[type, _Opener] = {
            UrlFile: self._open_url,
            IpfsFile: self._open_ipfs,
            ArweaveFile: self._open_arweave,
            GraphqlFile: self._open_graphql,
            SmartContractFile: self._open_contract,
            S3File: self._open_s3,
            FtpFile: self._open_ftp,
        }

    async def open(
        self,
        file: FileObject,
        userdata: Userdata,
        range_header: str | None,
        *,
        chain_id: int | None = None,
        rest: Rest | None = None,
    ) -> Source:
        """One request to the file's origin. A Range in the file object wins over `range_header` (section 11.5).

        `chain_id`: the asset's chain, for contracts that name none. `rest`: what is asked for instead of any Range,
        after an earlier answer broke off; the caller looks whether it is in the new one.

        Raises:
            UpstreamError: the origin failed, or may not be asked.
            FileObjectInvalid, UserdataInvalid: the request cannot be made of this file and these user data.
            GatewayUnset, UnsupportedChain, ChainUnavailable: this Provider cannot ask at all, or not now.
        """
        return await self._openers[type(file)](file, _Wishes(userdata, range_header, chain_id, rest))

    async def inspect(
        self,
        file: FileObject,
        userdata: Userdata,
        *,
        want_checksum: bool = False,
        max_checksum_bytes: int = 0,
        chain_id: int | None = None,
    ) -> FileInfo:
        """What fileinfo tells of the file (sections 11.3, 11.4). Raises as `open`, but for UpstreamError."""
        if isinstance(file, SmartContractFile):
            return await self._inspect_contract(
                file, _Wishes(userdata, None, chain_id, None), want_checksum=want_checksum
            )
        return await inspect(
            self.open(file, userdata, None, chain_id=chain_id),
            accepts_part=any(name.lower() == "range" for name, _ in getattr(file, "headers", ())),
            want_checksum=want_checksum,
            max_checksum_bytes=max_checksum_bytes,
            name_from_url=not isinstance(file, ArweaveFile),
        )

    async def _open_url(self, file: UrlFile, wishes: _Wishes) -> Source:
        if not wishes.userdata.values and wishes.range_header is None and wishes.rest is None:
            return await self._http.open(file.plain(self._prepare_plain))
        request = resolve(file, wishes.userdata.over(file.userdata), wishes.range_header)
        return await self._http.open(for_rest(request, wishes.rest))

    def _prepare_plain(self, file: UrlFile) -> PreparedRequest:
        return self._http.prepare(resolve(file, file.userdata or {}, None))

    async def _open_ipfs(self, file: IpfsFile, wishes: _Wishes) -> Source:
        if not len(self._ipfs):
            raise GatewayUnset("No IPFS_GATEWAY defined, can not resolve ipfs hash.")
        return await self._open_gateway(self._ipfs, file, wishes)

    async def _open_arweave(self, file: ArweaveFile, wishes: _Wishes) -> Source:
        if not len(self._arweave):
            raise GatewayUnset("No ARWEAVE_GATEWAY defined, can not resolve arweave transaction id.")
        return await self._open_gateway(self._arweave, file, wishes)

    async def _open_gateway(self, gateways: Gateways, file: IpfsFile | ArweaveFile, wishes: _Wishes) -> Source:
        values, rest = wishes.userdata.over(file.userdata), wishes.rest
        return await gateways.open(
            lambda gateway: for_rest(resolve_gateway(file, gateway, values, wishes.range_header), rest),
            accepts=rest.is_in if rest is not None else None,
        )

    async def _open_graphql(self, file: GraphqlFile, wishes: _Wishes) -> Source:
        values = wishes.userdata.needed_over(file.userdata)
        return await self._http.open(for_rest(resolve_graphql(file, values, wishes.range_header), wishes.rest))

    async def _open_s3(self, file: S3File, wishes: _Wishes) -> Source:
        return await self._http.open(await asyncio.to_thread(_signed, file, wishes.range_header, wishes.rest))

    async def _open_ftp(self, file: FtpFile, wishes: _Wishes) -> Source:
        rest = wishes.rest
        return await self._ftp.open(
            parse_ftp_url(file.url),
            wishes.range_header if rest is None else rest.range_header,
            if_range=rest.validator if rest is not None else None,
        )

    async def _open_contract(self, file: SmartContractFile, wishes: _Wishes) -> Source:
        return MemorySource((await self._result(file, wishes)).encode(), content_type=_JSON)

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
        # In a thread: the first call imports a library, and long results take their time.
        data = await asyncio.to_thread(file.function.encode, values)
        (answer,) = await network.rpc.batch([foreign_call(file.address, "0x" + data.hex())])
        if isinstance(answer, RpcFault):
            # Any node would say the same of a revert, and its text is not for strangers.
            raise ContractCallFailed(detail=f"eth_call: code {answer.code}")
        try:
            result = bytes_of_hex(answer)
        except AbiError:
            raise ContractCallFailed(detail="eth_call: no hex data") from None
        return await asyncio.to_thread(_result_text, partial(file.function.decode, result))

    def _chain_id(self, file: SmartContractFile, wishes: _Wishes) -> int:
        """Of the file object, else of the asset, else the only one there is."""
        chain_id = file.chain_id or wishes.chain_id
        if chain_id is not None:
            return chain_id
        if len(self._networks) == 1:
            return self._networks.chain_ids[0]
        raise FileObjectInvalid


def _signed(file: S3File, range_header: str | None, rest: Rest | None) -> Any:
    from provider.files.s3 import signed_get  # noqa: PLC0415 - botocore only where it is used

    if rest is None:
        return signed_get(file, range_header)
    return signed_get(file, rest.range_header, if_range=rest.validator)


def _result_text(decode: Callable[[], object]) -> str:
    # Not orjson: integers of contracts have 256 bits.
    return json.dumps(decode())
