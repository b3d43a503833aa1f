"""DDO JSON in, a frozen `Asset` out (pure; `provider-api.md` section 7).

Reads 4.x, 5.x (under `credentialSubject`) and the short `deprecated` form, from Aquarius or ocean-node. Whether
the asset may be consumed is decided in `access.py`, whether it is the one asked for in `check_binding`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from provider.assets.compute_options import ComputeOptions, parse_compute_options
from provider.assets.consumer_parameters import UNDECLARED, Declared, parse_consumer_parameters
from provider.assets.credentials import Credentials, parse_credentials
from provider.assets.did import matches
from provider.errors import AssetMalformed, ServiceNotFound
from provider.keccak import is_address, to_checksum_address
from provider.wire_text import digits

_MAX_INTEGER = 2**63 - 1

# DDOs without a version, or of exactly this one, have file lists that are not bound to the asset (section 7).
_UNBOUND_VERSION = "4.0.0"
_DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Service:
    """One way to consume an asset. `index` is the position in the DDO, which is the service index on chain.

    `files` is the encrypted file list (hex text); `timeout_seconds` 0 means that an order never expires.
    """

    index: int
    id: str
    type: str
    files: str = field(repr=False)
    datatoken: str
    endpoint: str
    timeout_seconds: int
    credentials: Credentials
    compute: ComputeOptions
    consumer_parameters: Declared = UNDECLARED


@dataclass(frozen=True, slots=True)
class Asset:
    """The document behind a DID. Addresses are checksummed.

    `data_nft` is what the DDO calls `nftAddress`; `nft_address`, `nft_state` and `nft_owner` are what the store
    of the DDO says about the NFT, None where it does not. `metadata_type` is None without `metadata`, `""`
    without a type. `container` is an algorithm's, as in the DDO, `algorithm_parameters` what it declares for its
    consumers. `document` is the DDO's JSON text where it was to be kept, for a policy server that decides by it.
    """

    did: str
    version: str
    chain_id: int
    data_nft: str
    nft_address: str | None
    nft_state: int | None
    nft_owner: str | None
    metadata_type: str | None
    container: Mapping[str, object] | None = field(repr=False)
    services: tuple[Service, ...]
    credentials: Credentials
    algorithm_parameters: Declared = UNDECLARED
    document: bytes | None = field(default=None, repr=False, compare=False)

    def service(self, service_id: str) -> Service:
        """The service with exactly this id, the first one if several have it. Raises ServiceNotFound."""
        for service in self.services:
            if service.id == service_id:
                return service
        raise ServiceNotFound

    @property
    def deprecated(self) -> bool:
        """Is this the short form that replaces a retired asset?"""
        return self.version == _DEPRECATED

    @property
    def files_are_bound(self) -> bool:
        """Must the decrypted file list name this asset and datatoken?"""
        return self.version != _UNBOUND_VERSION


def parse_ddo(json: object, *, keep_document: bool = False) -> Asset:
    """Asset of a decoded DDO. Raises AssetMalformed, and nothing else, for whatever is not one.

    A service that lacks something stays out, so that it cannot spoil the others; their positions are kept.
    `keep_document`: keep the DDO as text, which may take many times the memory of the asset.
    """
    ddo = _mapping(json, "DDO")
    version = ddo.get("version") or _UNBOUND_VERSION
    if not isinstance(version, str):
        raise AssetMalformed(detail="version is not text")
    is_credential = _is_credential(version)
    body = _mapping(ddo.get("credentialSubject"), "credentialSubject") if is_credential else ddo
    # ddo.js writes the DID of a DDO 5 into its subject, ocean-node beside it.
    did, chain_id, data_nft = ddo.get("id") or body.get("id"), _integer(body.get("chainId")), body.get("nftAddress")
    if not isinstance(did, str) or chain_id is None or not is_address(data_nft):
        raise AssetMalformed(detail="id, chainId or nftAddress is missing or malformed")
    nft = _nft(ddo, body)
    metadata = body.get("metadata")
    return Asset(
        did=did,
        version=version,
        chain_id=chain_id,
        data_nft=to_checksum_address(str(data_nft)),
        nft_address=_address(nft.get("address")),
        nft_state=_integer(nft.get("state")),
        nft_owner=_address(nft.get("owner")),
        metadata_type=_metadata_type(metadata),
        container=_container(metadata),
        services=_services(body.get("services"), is_credential),
        credentials=parse_credentials(body.get("credentials"), may_be_list=is_credential),
        algorithm_parameters=parse_consumer_parameters(_algorithm(metadata).get("consumerParameters")),
        document=_text_of(ddo) if keep_document else None,
    )


def check_binding(asset: Asset, did: str) -> None:
    """Is this the asset that was asked for [K18]? Raises AssetMalformed.

    The DID must be the document's own and the hash of its NFT and chain, and the NFT that the store looked at
    must be the document's.
    """
    if asset.did != did:
        raise AssetMalformed(detail="the document has another DID")
    if not matches(did, asset.data_nft, asset.chain_id):
        raise AssetMalformed(detail="the DID is not that of nftAddress and chainId")
    if asset.nft_address is not None and asset.nft_address != asset.data_nft:
        raise AssetMalformed(detail="nft.address differs from nftAddress")


def _is_credential(version: str) -> bool:
    """Is this a verifiable credential: major version 5 or later?"""
    return (digits(version.partition(".")[0], max_chars=9) or 0) >= 5


def _nft(ddo: Mapping[str, object], body: Mapping[str, object]) -> Mapping[str, object]:
    """The store's facts about the NFT: top level (Aquarius), else under `indexedMetadata` (ocean-node)."""
    nft = ddo.get("nft")
    if nft is None:
        indexed = ddo.get("indexedMetadata") or body.get("indexedMetadata")
        nft = indexed.get("nft") if isinstance(indexed, Mapping) else None
    return nft if isinstance(nft, Mapping) else {}


def _services(raw: object, is_credential: bool) -> tuple[Service, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise AssetMalformed(detail="services is not a list")
    parsed = (_service(index, item, is_credential) for index, item in enumerate(raw))
    return tuple(service for service in parsed if service is not None)


def _service(index: int, raw: object, is_credential: bool) -> Service | None:
    """A service, or None when it lacks what every service needs."""
    if not isinstance(raw, Mapping):
        return None
    service_id, kind, files = raw.get("id"), raw.get("type"), raw.get("files")
    endpoint = raw.get("serviceEndpoint")
    datatoken, timeout = _address(raw.get("datatokenAddress")), _integer(raw.get("timeout"))
    if type(service_id) is int:
        service_id = str(service_id)
    texts_are_there = isinstance(service_id, str) and isinstance(kind, str) and isinstance(files, str)
    if not texts_are_there or datatoken is None or timeout is None or timeout < 0:
        return None
    return Service(
        index=index,
        id=str(service_id),
        type=str(kind),
        files=str(files),
        datatoken=datatoken,
        endpoint=endpoint if isinstance(endpoint, str) else "",
        timeout_seconds=timeout,
        credentials=parse_credentials(raw.get("credentials"), may_be_list=is_credential),
        compute=parse_compute_options(raw.get("compute"), strict=is_credential),
        consumer_parameters=parse_consumer_parameters(raw.get("consumerParameters")),
    )


def _metadata_type(metadata: object) -> str | None:
    if not isinstance(metadata, Mapping):
        return None
    kind = metadata.get("type")
    return kind if isinstance(kind, str) else ""


def _algorithm(metadata: object) -> Mapping[str, object]:
    algorithm = metadata.get("algorithm") if isinstance(metadata, Mapping) else None
    return algorithm if isinstance(algorithm, Mapping) else {}


def _text_of(ddo: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(ddo)
    except TypeError:
        raise AssetMalformed(detail="the DDO is nested too deeply") from None


def _container(metadata: object) -> Mapping[str, object] | None:
    container = _algorithm(metadata).get("container")
    return container if isinstance(container, Mapping) else None


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise AssetMalformed(detail=f"{name} is not an object")
    return value


def _address(value: object) -> str | None:
    return to_checksum_address(str(value)) if is_address(value) else None


def _integer(value: object) -> int | None:
    """An integer, also as decimal text or a float without fraction; None for anything else."""
    if isinstance(value, str):
        return digits(value, max_chars=18)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if -_MAX_INTEGER <= value <= _MAX_INTEGER else None
