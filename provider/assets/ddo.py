"""Parses the JSON of a DDO into a frozen `Asset` (pure; `provider-api.md` section 7).

Reads 4.x, 5.x (under `credentialSubject`) and the short `deprecated` form, from Aquarius or ocean-node. `access.py`
decides whether the asset may be consumed; `check_binding`, whether it is the requested one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from provider.assets.compute_options import ComputeOptions, parse_compute_options
from provider.assets.consumer_parameters import UNDECLARED, Declared, parse_consumer_parameters
from provider.assets.credentials import Credentials, parse_credentials
from provider.assets.did import matches
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import AssetMalformed, ServiceMalformed, ServiceNotFound
from provider.quotas.quota import NO_LIMITS, Limits, parse_limits
from provider.wire.text import digits

NO_TIMEOUT = -1
"""An order of such a service is never valid: it ends before it begins."""
_MAX_INTEGER = 2**63 - 1
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,15}", re.ASCII)

# DDOs without a version, or with exactly this one, have file lists that are not bound to the asset (section 7).
_UNBOUND_VERSION = "4.0.0"
_DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Service:
    """One way to consume an asset.

    Attributes:
        index: position in the DDO, which is the service index on chain.
        files: the encrypted file list (hex text); empty if there is none.
        timeout_seconds: 0 if an order never expires, NO_TIMEOUT if the DDO has no usable value.
        limits: quotas that the publisher sets.
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
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Asset:
    """The document behind a DID. Addresses are checksummed.

    Attributes:
        data_nft: the DDO's `nftAddress`.
        nft_address, nft_state, nft_owner: the NFT according to the DDO's store; None if it names none.
        metadata_tx_id: transaction that published the document, as the store writes it; None if it names none or two.
        metadata_type: None without `metadata`, `""` without a type.
        container: that of an algorithm, as in the DDO.
        algorithm_parameters: the parameters that an algorithm declares for its consumers.
        document: the DDO's JSON text, if it was to be kept, for clients and a policy server.
        sealed: the document is encrypted on chain. False if it came from a metadata store, which publishes it.
        faulty_services: ids of unusable services, each with the field at fault.
    """

    did: str
    version: str
    chain_id: int
    data_nft: str
    nft_address: str | None
    nft_state: int | None
    nft_owner: str | None
    metadata_tx_id: str | None
    metadata_type: str | None
    container: Mapping[str, object] | None = field(repr=False)
    services: tuple[Service, ...]
    credentials: Credentials
    algorithm_parameters: Declared = UNDECLARED
    document: bytes | None = field(default=None, repr=False, compare=False)
    sealed: bool = False
    faulty_services: Mapping[str, str] = field(default_factory=dict, repr=False)

    def service(self, service_id: str) -> Service:
        """The service with exactly this id; the first one, if several have it.

        Raises ServiceNotFound, and ServiceMalformed for an unusable one.
        """
        for service in self.services:
            if service.id == service_id:
                return service
        if service_id in self.faulty_services:
            raise ServiceMalformed(self.faulty_services[service_id])
        raise ServiceNotFound

    @property
    def deprecated(self) -> bool:
        """True for the short form that replaces a retired asset."""
        return self.version == _DEPRECATED

    @property
    def is_credential(self) -> bool:
        """True for a verifiable credential (DDO 5), whose content is under `credentialSubject`."""
        return _is_credential(self.version)

    @property
    def files_are_bound(self) -> bool:
        """True if the decrypted file list must name this asset and datatoken."""
        return self.version != _UNBOUND_VERSION


LONG_DOCUMENT_BYTES = 64 << 10
"""A longer document is parsed in a thread: one of 5 MiB, with as many addresses, takes a quarter of a second."""


def parse_ddo(json: object, *, keep_document: bool = False) -> Asset:
    """Parse a decoded DDO. Raises AssetMalformed, and nothing else, for anything that is not one.

    A service without the required fields is left out, so that it does not affect the others. Positions are kept.
    `keep_document`: keep the DDO as text, which may take many times the memory of the asset.
    """
    ddo = _mapping(json, "DDO")
    version = ddo.get("version") or _UNBOUND_VERSION
    if type(version) in (int, float):
        version = str(version)
    if not isinstance(version, str):
        raise AssetMalformed(detail="version is not text")
    is_credential = _is_credential(version)
    body = _mapping(ddo.get("credentialSubject"), "credentialSubject") if is_credential else ddo
    # ddo.js writes the DID of a DDO 5 into its subject, ocean-node beside it.
    did, chain_id, data_nft = ddo.get("id") or body.get("id"), _chain_id(body.get("chainId")), body.get("nftAddress")
    if not isinstance(did, str) or chain_id is None or not is_address(data_nft):
        raise AssetMalformed(detail="id, chainId or nftAddress is missing or malformed")
    nft = _nft(ddo, body)
    metadata = body.get("metadata")
    services, faulty = _services(body.get("services"), is_credential)
    return Asset(
        did=did,
        version=version,
        chain_id=chain_id,
        data_nft=to_checksum_address(str(data_nft)),
        nft_address=_address(nft.get("address")),
        nft_state=_state(nft.get("state")),
        nft_owner=_address(nft.get("owner")),
        metadata_tx_id=_metadata_tx_id(ddo, body),
        metadata_type=_metadata_type(metadata),
        container=_container(metadata),
        services=services,
        credentials=parse_credentials(body.get("credentials"), may_be_list=is_credential),
        algorithm_parameters=parse_consumer_parameters(_algorithm(metadata).get("consumerParameters")),
        document=_text_of(ddo) if keep_document else None,
        faulty_services=faulty,
    )


def check_binding(asset: Asset, did: str) -> None:
    """Check that this is the requested asset [K18]. Raises AssetMalformed.

    The DID must be the document's own, and the hash of its NFT and chain. The NFT that the store describes must be the
    document's.
    """
    if asset.did != did:
        raise AssetMalformed(detail="the document has another DID")
    if not matches(did, asset.data_nft, asset.chain_id):
        raise AssetMalformed(detail="the DID does not match nftAddress and chainId")
    if asset.nft_address is not None and asset.nft_address != asset.data_nft:
        raise AssetMalformed(detail="nft.address differs from nftAddress")


def _is_credential(version: str) -> bool:
    """True for a verifiable credential: major version 5 or later."""
    return (digits(version.partition(".")[0], max_chars=9) or 0) >= 5


def _nft(ddo: Mapping[str, object], body: Mapping[str, object]) -> Mapping[str, object]:
    """The store's facts about the NFT: at the top level (Aquarius), else under `indexedMetadata` (ocean-node)."""
    nft = ddo.get("nft")
    if nft is None:
        nft = _part(ddo.get("indexedMetadata") or body.get("indexedMetadata"), "nft")
    return nft if isinstance(nft, Mapping) else {}


def _metadata_tx_id(ddo: Mapping[str, object], body: Mapping[str, object]) -> str | None:
    """The transaction that published the document: `event.tx` of Aquarius, `indexedMetadata.event.txid` of ocean-node.

    None if there are two: each store leaves in a document what its publisher wrote in the place of the other one, such
    as the transaction of an earlier publisher.
    """
    events = (
        ddo.get("event"),
        _part(ddo.get("indexedMetadata"), "event"),
        _part(body.get("indexedMetadata"), "event"),
    )
    named = [found for event in events for name in ("tx", "txid") if (found := _part(event, name))]
    texts = [text for text in named if isinstance(text, str)]
    is_clear = len(texts) == len(named) and len({text.lower() for text in texts}) == 1
    return texts[0] if is_clear else None


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _services(raw: object, is_credential: bool) -> tuple[tuple[Service, ...], Mapping[str, str]]:
    """The services, and the field at fault for each unusable one."""
    services: list[Service] = []
    faulty: dict[str, str] = {}
    if raw is not None and not isinstance(raw, list):
        raise AssetMalformed(detail="services is not a list")
    for index, item in enumerate(raw or ()):
        service_id = _service_id(item)
        if service_id is None:
            continue
        service = _service(index, service_id, item, is_credential)
        if isinstance(service, Service):
            services.append(service)
        else:
            faulty.setdefault(service_id, service)
    return tuple(services), faulty


def _service_id(raw: object) -> str | None:
    """The id by which the service can be requested."""
    service_id = raw.get("id") if isinstance(raw, Mapping) else None
    if type(service_id) is int:
        return str(service_id)
    return service_id if isinstance(service_id, str) else None


def _service(index: int, service_id: str, raw: Mapping[str, object], is_credential: bool) -> Service | str:
    """A service, or the name of the missing field that makes it unusable."""
    kind, files, endpoint = raw.get("type"), raw.get("files"), raw.get("serviceEndpoint")
    datatoken, timeout = _address(raw.get("datatokenAddress")), _integer(raw.get("timeout"))
    if not isinstance(kind, str):
        return "type"
    if datatoken is None:
        return "datatokenAddress"
    return Service(
        index=index,
        id=service_id,
        type=kind,
        files=files if isinstance(files, str) else "",
        datatoken=datatoken,
        endpoint=endpoint if isinstance(endpoint, str) else "",
        timeout_seconds=timeout if timeout is not None and timeout >= 0 else NO_TIMEOUT,
        credentials=parse_credentials(raw.get("credentials"), may_be_list=is_credential),
        compute=parse_compute_options(raw.get("compute"), strict=is_credential),
        consumer_parameters=parse_consumer_parameters(raw.get("consumerParameters")),
        limits=parse_limits(raw.get("additionalInformation")),
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
        # A copy: orjson's own bytes keep the buffer that it wrote into, which is up to eight times as large.
        return bytes(memoryview(orjson.dumps(ddo)))
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


def _chain_id(value: object) -> int | None:
    """An integer as in `_integer`, or hex text. A wrong number fails at the DID, which contains its hash."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        return int(value, 16)
    return _integer(value)


def _state(value: object) -> int | None:
    """The NFT's state according to the store. None if it names none; an unreadable one becomes an unknown state."""
    if value is None:
        return None
    state = _integer(value)
    return -1 if state is None else state


def _integer(value: object) -> int | None:
    """An integer, also as decimal text or a float without fraction. None for anything else."""
    if isinstance(value, str):
        return digits(value, max_chars=18)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if -_MAX_INTEGER <= value <= _MAX_INTEGER else None
