"""Checks the shape of a DDO before it is published (pure).

The rules are those of the SHACL schemas of `@oceanprotocol/ddo-js` (`schemas/*.ttl`), which ocean-node uses, as far as
they name required fields, their types and the lengths of text. Fields that the schemas do not name are allowed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from provider.assets.did import matches
from provider.crypto.keccak import is_address

# Versions whose schemas have no limits of length: `_WITHOUT_MINIMUM` has the longest texts only.
_WITHOUT_LENGTHS = "4.1.0"
_WITHOUT_MINIMUM = ("4.1.0", "4.3.0")
VERSIONS = ("4.1.0", "4.3.0", "4.5.0", "4.7.0", "5.0.0")
_MAX_SERVICES = 64
_ADDRESS_LENGTH = 42

Faults = dict[str, list[str]]
"""Fields, dotted if nested, each with its messages."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One field of an object. `shortest` and `longest` are lengths of text in characters; None: any."""

    name: str
    kind: Literal["text", "integer", "boolean"] = "text"
    shortest: int = 0
    longest: int | None = 256
    required: bool = True


_METADATA = (
    _Rule("description", shortest=10, longest=7000),
    _Rule("name", shortest=4, longest=512),
    _Rule("type"),
    _Rule("author"),
    _Rule("license"),
    _Rule("created", longest=None),
    _Rule("updated", longest=None),
    _Rule("copyrightHolder", longest=512, required=False),
    _Rule("contentLanguage", required=False),
)
_CONTAINER = (
    _Rule("entrypoint", shortest=3),
    _Rule("image", shortest=1),
    _Rule("tag", shortest=1),
    _Rule("checksum", shortest=7, longest=512),
)
_SERVICE = (
    _Rule("id"),
    _Rule("type"),
    _Rule("name", shortest=4, required=False),
    _Rule("description", shortest=10, longest=7000, required=False),
    _Rule("datatokenAddress", shortest=_ADDRESS_LENGTH, longest=_ADDRESS_LENGTH),
    _Rule("serviceEndpoint", shortest=10, longest=2048),
    _Rule("files", longest=8192),
    _Rule("timeout", "integer"),
)
_COMPUTE = (_Rule("allowRawAlgorithm", "boolean"), _Rule("allowNetworkAccess", "boolean"))
_CREDENTIAL_METADATA = tuple(_Rule(name, longest=None) for name in ("created", "updated", "name", "providedBy"))
_CREDENTIAL_SERVICE = (
    *(_Rule(name, longest=None) for name in ("id", "type", "datatokenAddress", "serviceEndpoint")),
    _Rule("timeout", "integer"),
)


def faults_of(ddo: Mapping[str, object]) -> Faults:
    """The faults of a DDO of one of VERSIONS; empty if it has none."""
    version = ddo.get("version")
    if version not in VERSIONS:
        return {"version": [f"The version must be one of {', '.join(VERSIONS)}."]}
    faults: Faults = {}
    is_credential = str(version).startswith("5.")
    for field, message in _credential(ddo) if is_credential else _document(ddo, str(version)):
        faults.setdefault(field, []).append(message)
    return faults


def _document(ddo: Mapping[str, object], version: str) -> Iterator[tuple[str, str]]:
    """Faults of a DDO 4."""
    yield from _binding(ddo, ddo.get("id"), "did:op:", "")
    metadata = ddo.get("metadata")
    if not isinstance(metadata, Mapping):
        yield "metadata", "The metadata field is required."
    else:
        yield from _fields(metadata, _METADATA, "metadata", version)
        yield from _algorithm(metadata, version)
    yield from _services(ddo.get("services"), _SERVICE, "services", version)


def _credential(ddo: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Faults of a DDO 5, whose content is the subject of a verifiable credential."""
    yield from _fields(ddo, (_Rule("issuer", longest=None),), "", _WITHOUT_LENGTHS)
    if not ddo.get("type"):
        yield "type", "The type field is required."
    subject = ddo.get("credentialSubject")
    if not isinstance(subject, Mapping):
        yield "credentialSubject", "The credentialSubject field is required."
        return
    yield from _binding(subject, ddo.get("id"), "did:ope:", "credentialSubject.")
    metadata = subject.get("metadata")
    if not isinstance(metadata, Mapping):
        yield "credentialSubject.metadata", "The credentialSubject.metadata field is required."
    else:
        yield from _fields(metadata, _CREDENTIAL_METADATA, "credentialSubject.metadata", _WITHOUT_LENGTHS)
    path = "credentialSubject.services"
    services = subject.get("services")
    if not services:
        yield path, f"The {path} field is required."
    yield from _services(services, _CREDENTIAL_SERVICE, path, _WITHOUT_LENGTHS)


def _binding(body: Mapping[str, object], did: object, prefix: str, path: str) -> Iterator[tuple[str, str]]:
    """The DID must stand for the NFT and the chain that the document names."""
    chain_id, data_nft = body.get("chainId"), body.get("nftAddress")
    has_chain = isinstance(chain_id, int) and not isinstance(chain_id, bool) and chain_id > 0
    if not has_chain:
        yield f"{path}chainId", f"The {path}chainId must be a positive integer."
    if not is_address(data_nft):
        yield f"{path}nftAddress", f"The {path}nftAddress must be an address."
    if not isinstance(did, str) or not did.startswith(prefix):
        yield "id", f"The id must begin with {prefix}."
    elif has_chain and is_address(data_nft) and not matches(did, str(data_nft), int(str(chain_id))):
        yield "id", "The id must be the hash of nftAddress and chainId."


def _algorithm(metadata: Mapping[str, object], version: str) -> Iterator[tuple[str, str]]:
    algorithm = metadata.get("algorithm")
    if algorithm is None:
        return
    path = "metadata.algorithm.container"
    container = algorithm.get("container") if isinstance(algorithm, Mapping) else None
    if isinstance(container, Mapping):
        yield from _fields(container, _CONTAINER, path, version)
    else:
        yield path, f"The {path} field is required."


def _services(services: object, rules: Sequence[_Rule], path: str, version: str) -> Iterator[tuple[str, str]]:
    if services is None:
        return
    if not isinstance(services, list) or len(services) > _MAX_SERVICES:
        yield path, f"The {path} must be a list of at most {_MAX_SERVICES} services."
        return
    for index, service in enumerate(services):
        place = f"{path}.{index}"
        if not isinstance(service, Mapping):
            yield place, f"The {place} must be an object."
            continue
        yield from _fields(service, rules, place, version)
        compute = service.get("compute")
        if isinstance(compute, Mapping):
            yield from _fields(compute, _COMPUTE, f"{place}.compute", version)


def _fields(values: Mapping[str, object], rules: Sequence[_Rule], path: str, version: str) -> Iterator[tuple[str, str]]:
    for rule in rules:
        field = f"{path}.{rule.name}" if path else rule.name
        value = values.get(rule.name)
        if value is None:
            if rule.required:
                yield field, f"The {field} field is required."
        elif not _is_kind(value, rule):
            yield field, f"The {field} must be {'an' if rule.kind == 'integer' else 'a'} {rule.kind}."
        elif isinstance(value, str) and (message := _length_fault(value, rule, version)):
            yield field, f"The {field} {message}."


def _is_kind(value: object, rule: _Rule) -> bool:
    if rule.kind == "text":
        return isinstance(value, str)
    if rule.kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool)


def _length_fault(text: str, rule: _Rule, version: str) -> str:
    if version not in _WITHOUT_MINIMUM and len(text) < rule.shortest:
        return f"must have at least {rule.shortest} characters"
    if version != _WITHOUT_LENGTHS and rule.longest is not None and len(text) > rule.longest:
        return f"must have at most {rule.longest} characters"
    return ""
