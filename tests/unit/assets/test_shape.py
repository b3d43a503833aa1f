"""Which DDOs count as well-formed."""

import copy
from typing import Any

import pytest

from provider.assets.did import did_for
from provider.assets.shape import VERSIONS, faults_of

NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
DATATOKEN = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
SERVICE = {
    "id": "s",
    "type": "access",
    "files": "0x04",
    "datatokenAddress": DATATOKEN,
    "serviceEndpoint": "https://provider.example",
    "timeout": 0,
}
CONTAINER = {"entrypoint": "node $ALGO", "image": "node", "tag": "20", "checksum": "sha256:00"}
DDO: dict[str, Any] = {
    "@context": ["https://w3id.org/did/v1"],
    "id": did_for(NFT, 1),
    "version": "4.7.0",
    "chainId": 1,
    "nftAddress": NFT,
    "metadata": {
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
        "type": "algorithm",
        "name": "Data",
        "description": "Ten letters",
        "author": "Somebody",
        "license": "CC0-1.0",
        "algorithm": {"container": CONTAINER},
    },
    "services": [{**SERVICE, "compute": {"allowRawAlgorithm": False, "allowNetworkAccess": True}}],
    "anything else": {"is": "allowed"},
}
CREDENTIAL: dict[str, Any] = {
    "@context": ["https://www.w3.org/ns/credentials/v2"],
    "id": did_for(NFT, 1, prefix="did:ope:"),
    "type": ["VerifiableCredential"],
    "version": "5.0.0",
    "issuer": "did:jwk:x",
    "credentialSubject": {
        "chainId": 1,
        "nftAddress": NFT,
        "metadata": {"created": "x", "updated": "x", "name": "n", "providedBy": "p", "description": {"@value": "d"}},
        "services": [SERVICE],
    },
}
REMOVED = object()


def changed(ddo: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the DDO with another value at a dotted path."""
    whole = copy.deepcopy(ddo)
    *parents, last = path.split(".")
    at: Any = whole
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value is REMOVED:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return whole


@pytest.mark.parametrize("version", VERSIONS)
def test_a_complete_ddo_of_every_version_has_no_fault(version: str) -> None:
    assert faults_of(CREDENTIAL if version == "5.0.0" else {**DDO, "version": version}) == {}


@pytest.mark.parametrize("version", ["4.0.0", "6.0.0", "deprecated", None, 5, "5.0", "5.0.0\n"])
def test_another_version_is_refused_before_anything_else(version: object) -> None:
    assert list(faults_of({"version": version})) == ["version"]


FAULTY = [
    ("id", "did:op:" + "0" * 64, "id"),
    ("id", CREDENTIAL["id"], "id"),
    ("id", None, "id"),
    ("chainId", 2, "id"),
    ("chainId", "1", "chainId"),
    ("chainId", True, "chainId"),
    ("chainId", 0, "chainId"),
    ("nftAddress", DATATOKEN, "id"),
    ("nftAddress", "0x0", "nftAddress"),
    ("metadata", REMOVED, "metadata"),
    ("metadata", [], "metadata"),
    ("metadata.name", REMOVED, "metadata.name"),
    ("metadata.name", "abc", "metadata.name"),
    ("metadata.name", "n" * 513, "metadata.name"),
    ("metadata.name", 7, "metadata.name"),
    ("metadata.description", "123456789", "metadata.description"),
    ("metadata.author", REMOVED, "metadata.author"),
    ("metadata.license", "l" * 257, "metadata.license"),
    ("metadata.created", REMOVED, "metadata.created"),
    ("metadata.copyrightHolder", 1, "metadata.copyrightHolder"),
    ("metadata.algorithm.container", REMOVED, "metadata.algorithm.container"),
    ("metadata.algorithm", "x", "metadata.algorithm.container"),
    ("metadata.algorithm.container.tag", "", "metadata.algorithm.container.tag"),
    ("metadata.algorithm.container.checksum", REMOVED, "metadata.algorithm.container.checksum"),
    ("services", {}, "services"),
    ("services", [SERVICE] * 65, "services"),
    ("services.0", 1, "services.0"),
    ("services.0.timeout", "0", "services.0.timeout"),
    ("services.0.timeout", True, "services.0.timeout"),
    ("services.0.files", REMOVED, "services.0.files"),
    ("services.0.datatokenAddress", "0x1", "services.0.datatokenAddress"),
    ("services.0.compute.allowNetworkAccess", REMOVED, "services.0.compute.allowNetworkAccess"),
    ("services.0.compute.allowRawAlgorithm", 0, "services.0.compute.allowRawAlgorithm"),
]


@pytest.mark.parametrize(("path", "value", "field"), FAULTY)
def test_each_fault_is_named_by_its_field(path: str, value: object, field: str) -> None:
    faults = faults_of(changed(DDO, path, value))
    assert list(faults) == [field]
    assert all(message.endswith(".") for message in faults[field])


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("id", DDO["id"], "id"),
        ("type", REMOVED, "type"),
        ("issuer", REMOVED, "issuer"),
        ("credentialSubject", REMOVED, "credentialSubject"),
        ("credentialSubject.chainId", "1", "credentialSubject.chainId"),
        ("credentialSubject.metadata", REMOVED, "credentialSubject.metadata"),
        ("credentialSubject.metadata.providedBy", REMOVED, "credentialSubject.metadata.providedBy"),
        ("credentialSubject.services", [], "credentialSubject.services"),
        ("credentialSubject.services.0.timeout", REMOVED, "credentialSubject.services.0.timeout"),
    ],
)
def test_each_fault_of_a_credential_is_named_by_its_field(path: str, value: object, field: str) -> None:
    assert list(faults_of(changed(CREDENTIAL, path, value))) == [field]


def test_old_versions_limit_less() -> None:
    short, long = changed(DDO, "metadata.name", "a"), changed(DDO, "metadata.name", "n" * 513)
    assert [bool(faults_of({**short, "version": version})) for version in VERSIONS[:4]] == [False, False, True, True]
    assert [bool(faults_of({**long, "version": version})) for version in VERSIONS[:4]] == [False, True, True, True]


def test_all_faults_are_named_at_once() -> None:
    faults = faults_of({"version": "4.7.0", "services": [{}]})
    assert {"id", "chainId", "nftAddress", "metadata", "services.0.files", "services.0.timeout"} <= faults.keys()
