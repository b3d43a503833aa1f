"""One decrypted file object, checked and typed (pure; `provider-api.md` section 11.1).

Raw JSON in, a frozen value out. The values contain a publisher's secrets, so neither `repr` nor error texts show them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple
from urllib.parse import quote, urlsplit

from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import FileObjectInvalid
from provider.files import file_fields as fields
from provider.files.contract_abi import Function, parse_function
from provider.files.file_fields import MALFORMED, MISSING, Fields
from provider.upstream.ftp_url import without_type
from provider.upstream.request_head import PreparedRequest

# Ids of public networks are far smaller. Above 2**53 JSON readers lose digits.
_MAX_CHAIN_ID = 1 << 53
_DEFAULT_REGION = "us-east-1"
_MAX_SOURCE_CHARS = 64

Userdata = Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file behind an http or https URL. `method` is GET or POST. `userdata`: the publisher's own, if any."""

    type: ClassVar[str] = "url"
    url: str = field(repr=False)
    method: str = "GET"
    headers: Fields = field(default=(), repr=False)
    userdata: Userdata = field(default=None, repr=False)
    party: str = field(default="", repr=False)
    _plain: PreparedRequest | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def url_path(self) -> str | None:
        """Path to name the file by: that of its URL, percent-encoded."""
        return urlsplit(self.url).path

    def plain(self, make: "Callable[[UrlFile], PreparedRequest]") -> PreparedRequest:
        """The request without any consumer's data. `make` creates it once, since it is sent often."""
        plain = self._plain
        if plain is None:
            plain = make(self)
            object.__setattr__(self, "_plain", plain)
        return plain


@dataclass(frozen=True, slots=True)
class IpfsFile:
    """A file on IPFS. `path`: the CID and an optional path below it, percent-encoded."""

    type: ClassVar[str] = "ipfs"
    url_path: ClassVar[str | None] = None
    path: str = field(repr=False)
    headers: Fields = field(default=(), repr=False)
    userdata: Userdata = field(default=None, repr=False)
    party: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ArweaveFile:
    """A file on Arweave. `path`: the transaction id and an optional path below it, percent-encoded."""

    type: ClassVar[str] = "arweave"
    url_path: ClassVar[str | None] = None
    path: str = field(repr=False)
    headers: Fields = field(default=(), repr=False)
    userdata: Userdata = field(default=None, repr=False)
    party: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GraphqlFile:
    """The answer to a GraphQL query. User data are its variables."""

    type: ClassVar[str] = "graphql"
    url_path: ClassVar[str | None] = None
    url: str = field(repr=False)
    query: str = field(repr=False)
    headers: Fields = field(default=(), repr=False)
    userdata: Userdata = field(default=None, repr=False)
    party: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SmartContractFile:
    """The result of a view function. `chain_id`: None for the asset's chain. `address` is checksummed."""

    type: ClassVar[str] = "smartcontract"
    url_path: ClassVar[str | None] = None
    address: str = field(repr=False)
    function: Function = field(repr=False)
    chain_id: int | None = None
    userdata: Userdata = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3File:
    """An object in an S3 store. Without keys the request is unsigned, as for public buckets.

    Attributes:
        endpoint: includes its scheme.
        path_style: the bucket is in the path, not in the host.
        session_token: belongs to temporary keys.
        requester_pays: the owner of the keys pays for the transfer.
    """

    type: ClassVar[str] = "s3"
    endpoint: str = field(repr=False)
    bucket: str = field(repr=False)
    key: str = field(repr=False)
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    region: str = _DEFAULT_REGION
    path_style: bool = False
    session_token: str = field(default="", repr=False)
    requester_pays: bool = False
    party: str = field(default="", repr=False)

    @property
    def url_path(self) -> str | None:
        """Path to name the file by: the object's key, percent-encoded."""
        return "/" + quote(self.key)


@dataclass(frozen=True, slots=True)
class FtpFile:
    """A file on an FTP server: `ftp://` or `ftps://` URL with its credentials."""

    type: ClassVar[str] = "ftp"
    url: str = field(repr=False)

    @property
    def url_path(self) -> str | None:
        """Path to name the file by: that of its URL without `;type=`."""
        return without_type(urlsplit(self.url).path)


class Seller(NamedTuple):
    """The asset that sells a file: its chain's id, its data NFT, checksummed, and the transaction of its document."""

    chain_id: int
    data_nft: str
    metadata_tx_id: str | None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source that the operator named. `path`: names with `/` between, none of them empty, `.` or `..`.

    `seller`: None outside an asset; such a file is never opened.
    """

    type: ClassVar[str] = "source"
    source: str = field(repr=False)
    path: str = field(repr=False)
    seller: Seller | None = None

    @property
    def url_path(self) -> str | None:
        """Path to name the file by, percent-encoded."""
        return "/" + quote(self.path)


FileObject = UrlFile | IpfsFile | ArweaveFile | GraphqlFile | SmartContractFile | S3File | FtpFile | SourceFile


def parse_file_object(raw: object, *, party: str = "", seller: Seller | None = None) -> FileObject:
    """Parse a file object of a known type. Raises FileObjectInvalid with the documented text for its first fault.

    `party`: DID of the file's asset, for `HttpRequest.party`. `seller`: the asset itself; `opener.file_of` has both.
    """
    if not raw:
        raise FileObjectInvalid("cannot decrypt files for this service.")
    if not isinstance(raw, Mapping):
        raise FileObjectInvalid(MALFORMED)
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise FileObjectInvalid(MALFORMED)
    parse = _PARSERS.get(kind)
    if parse is None:
        raise FileObjectInvalid(f"Unsupported type {fields.echo(kind)}")
    file = parse(raw)
    if isinstance(file, SourceFile):
        return replace(file, seller=seller)
    return file if isinstance(file, SmartContractFile | FtpFile) else replace(file, party=party)


def kind_of(raw: object) -> str:
    """Type of a raw file object; `unknown` if it names no known type."""
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    return kind if isinstance(kind, str) and kind in _PARSERS else "unknown"


Raw = Mapping[str, object]


def _url(raw: Raw) -> UrlFile:
    if not raw.get("url"):
        raise FileObjectInvalid(MISSING)
    return UrlFile(
        url=fields.http_url(raw["url"]),
        method=fields.method(raw.get("method")),
        headers=fields.headers(raw.get("headers")),
        userdata=fields.own_userdata(raw.get("userdata")),
    )


def _ipfs(raw: Raw) -> IpfsFile:
    return IpfsFile(
        path=fields.content_path(raw.get("hash"), missing=MISSING),
        headers=fields.headers(raw.get("headers")),
        userdata=fields.own_userdata(raw.get("userdata")),
    )


def _arweave(raw: Raw) -> ArweaveFile:
    missing = "malformed service files, missing transactionId."
    return ArweaveFile(
        path=fields.content_path(raw.get("transactionId"), missing=missing),
        headers=fields.headers(raw.get("headers")),
        userdata=fields.own_userdata(raw.get("userdata")),
    )


def _graphql(raw: Raw) -> GraphqlFile:
    if not raw.get("url"):
        raise FileObjectInvalid("missing graphql endpoint")
    query = raw.get("query")
    if not query:
        raise FileObjectInvalid("missing graphql query")
    if not isinstance(query, str):
        raise FileObjectInvalid(MALFORMED)
    return GraphqlFile(
        url=fields.http_url(raw["url"]),
        query=query,
        headers=fields.headers(raw.get("headers")),
        userdata=fields.own_userdata(raw.get("userdata")),
    )


def _smart_contract(raw: Raw) -> SmartContractFile:
    address, chain_id = raw.get("address"), raw.get("chainId")
    if not address:
        raise FileObjectInvalid("malformed smartcontract type, missing contract address")
    if not isinstance(address, str) or not is_address(address):
        raise FileObjectInvalid(MALFORMED)
    if chain_id is not None and (type(chain_id) is not int or not 0 < chain_id < _MAX_CHAIN_ID):
        raise FileObjectInvalid(MALFORMED)
    return SmartContractFile(
        address=to_checksum_address(address),
        function=parse_function(raw.get("abi")),
        chain_id=chain_id,
        userdata=fields.own_userdata(raw.get("userdata")),
    )


def _s3(raw: Raw) -> S3File:
    """Parse the fields that ocean-node uses (`ocean-node-compat.md` section 2, storage types)."""
    access = raw.get("s3Access")
    if not access:
        raise FileObjectInvalid(MISSING)
    if not isinstance(access, Mapping):
        raise FileObjectInvalid(MALFORMED)
    has_keys = any(access.get(name) for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
    endpoint = _s3_text(access, "endpoint")
    # The key is used unchanged: spaces at its ends belong to it.
    key = access.get("objectKey")
    if not isinstance(key, str) or not key.strip():
        raise FileObjectInvalid(MISSING if not key else MALFORMED)
    return S3File(
        endpoint=fields.http_url(endpoint if "://" in endpoint else f"https://{endpoint}"),
        bucket=_s3_text(access, "bucket"),
        key=key,
        access_key_id=_s3_text(access, "accessKeyId") if has_keys else "",
        secret_access_key=_s3_text(access, "secretAccessKey") if has_keys else "",
        region=_s3_text(access, "region") if access.get("region") else _DEFAULT_REGION,
        path_style=_s3_flag(access, "forcePathStyle"),
        session_token=_s3_text(access, "sessionToken") if access.get("sessionToken") else "",
        requester_pays=_s3_flag(access, "requestPayer", also="requester"),
    )


def _s3_flag(access: Raw, name: str, *, also: str = "true") -> bool:
    """A boolean, or its text, as forms and templates write it. `also`: another word for true."""
    value = access.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    text = value.lower() if isinstance(value, str) else None
    if text not in ("", "true", "false", also):
        raise FileObjectInvalid(MALFORMED)
    return text in ("true", also)


def _s3_text(access: Raw, name: str) -> str:
    value = access.get(name)
    if value is None or value == "":
        raise FileObjectInvalid(MISSING)
    text = value.strip() if isinstance(value, str) else ""
    # These values go into a host name, a path or a header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise FileObjectInvalid(MALFORMED)
    return text


def _ftp(raw: Raw) -> FtpFile:
    if not raw.get("url"):
        raise FileObjectInvalid(MISSING)
    url = fields.url_text(raw["url"])
    if not url.lower().startswith(("ftp://", "ftps://")):
        raise FileObjectInvalid(MALFORMED)
    return FtpFile(url=url)


def _source(raw: Raw) -> SourceFile:
    source, path = raw.get("source"), raw.get("path")
    if not source or not path:
        raise FileObjectInvalid(MISSING)
    if not isinstance(source, str) or len(source) > _MAX_SOURCE_CHARS:
        raise FileObjectInvalid(MALFORMED)
    return SourceFile(source=source, path=fields.source_path(path))


_PARSERS: Mapping[str, Callable[[Raw], FileObject]] = {
    "url": _url,
    "ipfs": _ipfs,
    "arweave": _arweave,
    "graphql": _graphql,
    "smartcontract": _smart_contract,
    "s3": _s3,
    "ftp": _ftp,
    "source": _source,
}
