"""DDOs of every version and store, and what is none."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.access import check_timeout
from provider.assets.compute_options import ComputeOptions, TrustedAlgorithm
from provider.assets.consumer_parameters import ConsumerParameter
from provider.assets.credentials import EVERYBODY, Verdict
from provider.assets.ddo import NO_TIMEOUT, Asset, check_binding, parse_ddo
from provider.assets.did import did_for
from provider.errors import AssetMalformed, ServiceMalformed, ServiceNotFound

NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
DATATOKEN = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
OWNER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
DID = did_for(NFT, 1)
NFT_FACTS = {"address": NFT.lower(), "state": 0, "owner": OWNER.lower(), "name": "n"}


def service(**keys: object) -> dict[str, object]:
    return {
        "id": "s0",
        "type": "access",
        "files": "0xabcd",
        "datatokenAddress": DATATOKEN.lower(),
        "serviceEndpoint": "https://provider.test",
        "timeout": 3600,
        **keys,
    }


def ddo_4(**keys: object) -> dict[str, object]:
    """The shape of Aquarius."""
    return {
        "id": DID,
        "version": "4.1.0",
        "chainId": 1,
        "nftAddress": NFT.lower(),
        "metadata": {"type": "dataset", "name": "n"},
        "services": [service(), service(id="s1", type="compute", timeout=0)],
        "credentials": {"allow": [], "deny": []},
        "nft": NFT_FACTS,
        **keys,
    }


def ddo_5(**keys: object) -> dict[str, object]:
    """The shape of a verifiable credential as ocean-node keeps it."""
    subject = {key: ddo_4()[key] for key in ("chainId", "nftAddress", "metadata", "services", "credentials")}
    return {
        "id": did_for(NFT, 1, prefix="did:ope:"),
        "version": "5.0.0",
        "issuer": "did:jwk:x",
        "credentialSubject": subject,
        "indexedMetadata": {"nft": NFT_FACTS},
        **keys,
    }


def test_asset_of_aquarius() -> None:
    asset = parse_ddo(ddo_4())
    assert asset == Asset(
        did=DID,
        version="4.1.0",
        chain_id=1,
        data_nft=NFT,
        nft_address=NFT,
        nft_state=0,
        nft_owner=OWNER,
        metadata_tx_id=None,
        metadata_type="dataset",
        container=None,
        services=asset.services,
        credentials=EVERYBODY,
    )
    assert [(one.index, one.id, one.type, one.timeout_seconds) for one in asset.services] == [
        (0, "s0", "access", 3600),
        (1, "s1", "compute", 0),
    ]
    assert asset.services[0].datatoken == DATATOKEN
    assert asset.services[0].files == "0xabcd"
    assert asset.services[0].endpoint == "https://provider.test"


def test_asset_of_ocean_node_has_its_nft_under_indexed_metadata() -> None:
    ddo = ddo_4(indexedMetadata={"nft": NFT_FACTS})
    del ddo["nft"]
    assert parse_ddo(ddo) == parse_ddo(ddo_4())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"event": {"tx": "0x1", "from": OWNER}}, "0x1"),
        ({"indexedMetadata": {"nft": NFT_FACTS, "event": {"txid": "0x2"}}}, "0x2"),
        ({"event": {"tx": 7}}, None),
        ({"event": "0x3"}, None),
        ({"event": {"tx": "0xA", "txid": "0xa"}}, "0xA"),
        # A publisher fills the place that its store leaves alone.
        ({"event": {"txid": "0xearlier"}, "indexedMetadata": {"nft": NFT_FACTS, "event": {"txid": "0x2"}}}, None),
        ({"event": {"tx": "0x1"}, "indexedMetadata": {"event": {"txid": "0xearlier"}}}, None),
        ({"indexedMetadata": {"event": {"txid": "0xearlier", "tx": "0x2"}}}, None),
        ({"event": {"tx": 7}, "indexedMetadata": {"event": {"txid": "0x2"}}}, None),
    ],
)
def test_a_store_names_the_transaction_of_the_document(facts: dict[str, object], expected: str | None) -> None:
    assert parse_ddo(ddo_4(**facts)).metadata_tx_id == expected


def test_top_level_nft_comes_before_indexed_metadata() -> None:
    ddo = ddo_4(indexedMetadata={"nft": NFT_FACTS | {"state": 3}})
    assert parse_ddo(ddo).nft_state == 0


def test_version_5_lives_under_credential_subject() -> None:
    asset = parse_ddo(ddo_5())
    assert asset == replace(parse_ddo(ddo_4()), did=ddo_5()["id"], version="5.0.0")
    check_binding(asset, asset.did)


def test_version_5_may_have_its_did_in_the_subject() -> None:
    """As in the example of ddo.js."""
    ddo = ddo_5()
    ddo["credentialSubject"] = {**ddo["credentialSubject"], "id": ddo.pop("id")}  # type: ignore[dict-item]
    assert parse_ddo(ddo) == parse_ddo(ddo_5())


def test_version_5_has_lists_of_credentials_and_version_4_has_none() -> None:
    deny = [{}, {"deny": [{"type": "address", "values": [OWNER]}]}]
    five = ddo_5()
    five["credentialSubject"] = {
        **five["credentialSubject"],  # type: ignore[dict-item]
        "credentials": deny,
        "services": [service(credentials=[{}])],
    }
    asset = parse_ddo(five)
    assert asset.credentials.verdict(OWNER) is Verdict.CREDENTIAL_IN_DENY_LIST
    assert asset.credentials.verdict(NFT) is Verdict.OK
    assert asset.services[0].credentials == EVERYBODY
    assert parse_ddo(ddo_4(credentials=[{}])).credentials.malformed


def test_declared_parameters_are_read_from_service_and_algorithm() -> None:
    algorithm = {"consumerParameters": [{"name": "a", "type": "text", "required": True}]}
    asset = parse_ddo(
        ddo_4(
            metadata={"type": "algorithm", "algorithm": algorithm},
            services=[service(consumerParameters=[{"name": "b", "type": "number"}]), service(id="s1")],
        )
    )
    assert asset.algorithm_parameters == (ConsumerParameter("a", "text", True),)
    assert asset.services[0].consumer_parameters == (ConsumerParameter("b", "number", False),)
    assert asset.services[1].consumer_parameters == ()


def test_document_is_kept_on_demand_only_and_not_shown() -> None:
    assert parse_ddo(ddo_5()).document is None
    kept = parse_ddo(ddo_5(), keep_document=True)
    assert kept.document is not None
    assert json.loads(kept.document) == ddo_5()
    assert "credentialSubject" not in repr(kept)


@pytest.mark.parametrize("subject", [None, [], "text"])
def test_version_5_without_subject_is_malformed(subject: object) -> None:
    with pytest.raises(AssetMalformed):
        parse_ddo(ddo_4() | {"version": "5.0.0", "credentialSubject": subject})


def test_credential_subject_of_a_4_x_document_is_ignored() -> None:
    assert parse_ddo(ddo_4(credentialSubject={"chainId": 2})) == parse_ddo(ddo_4())


def test_deprecated_short_form() -> None:
    short = {
        "id": DID,
        "version": "deprecated",
        "chainId": 1,
        "nftAddress": NFT,
        "indexedMetadata": {"nft": {"state": 2}},
    }
    asset = parse_ddo(short)
    assert (asset.deprecated, asset.nft_state, asset.nft_address, asset.services) == (True, 2, None, ())


def test_what_aquarius_keeps_of_a_revoked_asset_is_malformed() -> None:
    with pytest.raises(AssetMalformed):
        parse_ddo({"id": DID, "nft": NFT_FACTS | {"state": 3}, "event": {}, "stats": {}})


@pytest.mark.parametrize(
    ("version", "bound"),
    [
        (None, False),
        ("", False),
        ("4.0.0", False),
        ("4.0.0 ", True),
        ("4.1.0", True),
        ("4.7.0", True),
        ("4", True),
        ("x", True),
    ],
)
def test_only_4_0_0_has_unbound_files(version: str | None, bound: bool) -> None:
    assert parse_ddo(ddo_4(version=version)).files_are_bound is bound


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 7},
        {"version": True},
        {"version": ["4.1.0"]},
        {"chainId": None},
        {"chainId": "one"},
        {"chainId": "0x"},
        {"chainId": "0x2324g"},
        {"chainId": "-0x2324"},
        {"chainId": True},
        {"chainId": 1.5},
        {"chainId": 10**30},
        {"chainId": float("inf")},
        {"chainId": [1]},
        {"nftAddress": None},
        {"nftAddress": NFT[2:]},
        {"nftAddress": 7},
        {"services": {}},
        {"services": "s"},
    ],
    ids=str,
)
def test_document_without_what_every_asset_needs_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(AssetMalformed, match=r"^Asset malformed or disabled\.$"):
        parse_ddo(ddo_4(**changes))


@pytest.mark.parametrize("json_value", [None, [], [ddo_4()], "text", 7, True])
def test_what_is_no_object_is_malformed(json_value: object) -> None:
    with pytest.raises(AssetMalformed):
        parse_ddo(json_value)


@pytest.mark.parametrize(("value", "seconds"), [(0, 0), (3600, 3600), ("3600", 3600), (3600.0, 3600)])
def test_timeout_may_be_a_number_or_its_text(value: object, seconds: int) -> None:
    asset = parse_ddo(ddo_4(services=[service(timeout=value)]))
    assert asset.service("s0").timeout_seconds == seconds


@pytest.mark.parametrize("broken", [None, "s0", [], {}, service(id=None), service(id=True)], ids=str)
def test_service_without_an_id_cannot_be_found_and_keeps_its_position(broken: object) -> None:
    asset = parse_ddo(ddo_4(services=[broken, service(id="s1")]))
    with pytest.raises(ServiceNotFound, match=r"^Invalid serviceId\.$"):
        asset.service("s0")
    assert asset.service("s1").index == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("type", None), ("type", 7), ("datatokenAddress", None), ("datatokenAddress", "0x")],
)
def test_service_that_cannot_be_used_is_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    asset = parse_ddo(ddo_4(services=[service(**{field: value}), service(id="s1")]))
    with pytest.raises(ServiceMalformed, match=f"^The service cannot be used: its {field} in the DDO is"):
        asset.service("s0")
    assert asset.service("s1").index == 1
    with pytest.raises(ServiceNotFound):
        asset.service("s2")


@pytest.mark.parametrize("value", [None, -1, "-1", "soon", True, float("nan"), [], "left out"], ids=str)
def test_service_without_a_timeout_is_there_and_cannot_be_ordered(value: object) -> None:
    """As in Provider 2.1, fileinfo describes its files."""
    raw = service(timeout=value)
    if value == "left out":
        del raw["timeout"]
    asset = parse_ddo(ddo_4(services=[raw]))
    found = asset.service("s0")
    assert found.timeout_seconds == NO_TIMEOUT
    with pytest.raises(ServiceMalformed, match="its timeout in the DDO is missing or malformed"):
        check_timeout(found)
    check_timeout(parse_ddo(ddo_4()).service("s0"))


@pytest.mark.parametrize("files", [None, ["0x"], 7])
def test_service_without_files_has_none_that_can_be_opened(files: object) -> None:
    assert parse_ddo(ddo_4(services=[service(files=files)])).service("s0").files == ""


@pytest.mark.parametrize(("version", "text"), [(4.1, "4.1"), (4, "4"), (5, "5")])
def test_version_may_be_a_number(version: float, text: str) -> None:
    ddo = ddo_4(version=version) | ({"credentialSubject": ddo_4()} if version == 5 else {})
    asset = parse_ddo(ddo)
    assert (asset.version, asset.files_are_bound) == (text, True)


@pytest.mark.parametrize("chain_id", [8996, "8996", "0x2324", "0X2324", 8996.0])
def test_chain_id_may_be_written_in_several_ways(chain_id: object) -> None:
    assert parse_ddo(ddo_4(chainId=chain_id)).chain_id == 8996


@pytest.mark.parametrize(("state", "read"), [(0, 0), ("5", 5), (None, None), ("banana", -1), ([], -1)])
def test_state_that_cannot_be_read_is_told_from_none(state: object, read: int | None) -> None:
    assert parse_ddo(ddo_4(nft={"address": NFT, "state": state})).nft_state == read


def test_service_is_found_by_its_exact_id() -> None:
    asset = parse_ddo(ddo_4(services=[service(id="0"), service(id=1), service(id="0", type="second")]))
    assert asset.service("0").type == "access"
    assert asset.service("1").index == 1
    for missing in ("", "00", " 0", "S0", "2"):
        with pytest.raises(ServiceNotFound):
            asset.service(missing)


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        (None, None),
        ([], None),
        ("text", None),
        ({}, ""),
        ({"type": None}, ""),
        ({"type": 7}, ""),
        ({"type": "algorithm"}, "algorithm"),
    ],
)
def test_type_of_metadata(metadata: object, kind: str | None) -> None:
    assert parse_ddo(ddo_4(metadata=metadata)).metadata_type == kind


def test_container_of_an_algorithm() -> None:
    container = {"entrypoint": "node $ALGO", "image": "node", "checksum": "sha256:x"}
    metadata = {"type": "algorithm", "algorithm": {"language": "js", "container": container}}
    assert parse_ddo(ddo_4(metadata=metadata)).container == container
    assert parse_ddo(ddo_4(metadata={"algorithm": {"container": []}})).container is None


def test_credentials_of_asset_and_service_are_both_read() -> None:
    denied = {"deny": [{"type": "address", "values": [OWNER]}]}
    asset = parse_ddo(ddo_4(credentials=json.dumps(denied), services=[service(credentials=denied)]))
    assert asset.credentials == asset.services[0].credentials != EVERYBODY
    assert parse_ddo(ddo_4(credentials=7)).credentials.malformed


def test_compute_options() -> None:
    compute = {
        "allowRawAlgorithm": True,
        "allowNetworkAccess": False,
        "publisherTrustedAlgorithmPublishers": [OWNER],
        "publisherTrustedAlgorithms": [
            {"did": DID, "filesChecksum": "ABC", "containerSectionChecksum": "", "serviceId": "s"},
            {"filesChecksum": 7},
        ],
    }
    options = parse_ddo(ddo_4(services=[service(compute=compute)])).services[0].compute
    assert options == ComputeOptions(
        present=True,
        allow_raw_algorithm=True,
        allow_network_access=False,
        trusted_algorithms=(
            TrustedAlgorithm(did=DID, files_checksum="abc", container_checksum="", service_id="s"),
            TrustedAlgorithm(did=None, files_checksum="malformed", container_checksum="", service_id=None),
        ),
        trusted_publishers=(OWNER,),
    )


@pytest.mark.parametrize(("version", "strict"), [("4.7.0", False), ("5.0.0", True), ("5.1.0", True), ("10.0", True)])
def test_trust_is_strict_from_version_5_on(version: str, strict: bool) -> None:
    services = [service(compute={})]
    subject = {"chainId": 1, "nftAddress": NFT, "services": services}
    asset = parse_ddo(ddo_4(version=version, services=services, credentialSubject=subject))
    assert asset.services[0].compute == ComputeOptions(present=True, strict=strict)


@pytest.mark.parametrize("value", [None, False, "true", "false", 1, "True"])
def test_raw_algorithms_are_allowed_by_a_literal_true_only(value: object) -> None:
    asset = parse_ddo(ddo_4(services=[service(compute={"allowRawAlgorithm": value})]))
    assert not asset.services[0].compute.allow_raw_algorithm


@pytest.mark.parametrize(
    ("compute", "present", "malformed"),
    [
        (None, False, False),
        ({}, True, False),
        ([], False, True),
        ("x", False, True),
        ({"publisherTrustedAlgorithms": {}}, True, True),
        ({"publisherTrustedAlgorithms": [DID]}, True, True),
        ({"publisherTrustedAlgorithmPublishers": OWNER}, True, True),
        ({"publisherTrustedAlgorithmPublishers": [7]}, True, True),
    ],
)
def test_malformed_lists_of_trust_are_told_from_empty_ones(compute: object, present: bool, malformed: bool) -> None:
    options = parse_ddo(ddo_4(services=[service(compute=compute)])).services[0].compute
    assert (options.present, options.malformed) == (present, malformed)


def test_asset_is_bound_to_its_did() -> None:
    check_binding(parse_ddo(ddo_4()), DID)
    check_binding(parse_ddo(ddo_4(nft=None)), DID)


@pytest.mark.parametrize(
    ("changes", "did"),
    [
        ({}, did_for(OWNER, 1)),
        ({"id": did_for(OWNER, 1)}, DID),
        ({"id": did_for(OWNER, 1)}, did_for(OWNER, 1)),
        ({"chainId": 2}, DID),
        ({"nftAddress": OWNER}, DID),
        ({"nft": NFT_FACTS | {"address": OWNER}}, DID),
        ({"id": DID.upper()}, DID.upper()),
    ],
    ids=[
        "other document",
        "other id",
        "other NFT's id",
        "other chain",
        "other nftAddress",
        "other nft.address",
        "case",
    ],
)
def test_asset_bound_to_another_did_is_refused(changes: dict[str, object], did: str) -> None:
    with pytest.raises(AssetMalformed):
        check_binding(parse_ddo(ddo_4(**changes)), did)


def test_encrypted_files_are_not_in_repr() -> None:
    assert "0xabcd" not in repr(parse_ddo(ddo_4()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from([NFT, DID]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("id", "version", "chainId", "nftAddress", "metadata", "services", "credentials", "nft", "indexedMetadata")


@given(json_values)
def test_any_json_is_an_asset_or_malformed(raw: object) -> None:
    with pytest.raises(AssetMalformed):
        parse_ddo(raw)


@given(st.sampled_from([ddo_4, ddo_5]), st.dictionaries(st.sampled_from((*KEYS, "credentialSubject")), json_values))
def test_any_change_of_a_document_gives_an_asset_or_malformed(make: Any, changes: dict[str, object]) -> None:
    try:
        asset = parse_ddo(make(**changes))
    except AssetMalformed:
        return
    try:
        check_binding(asset, DID)
        asset.service("s0")
    except (AssetMalformed, ServiceMalformed, ServiceNotFound):
        return


@given(st.dictionaries(st.sampled_from(tuple(service())), json_values))
def test_any_change_of_a_service_gives_a_service_or_none(changes: dict[str, object]) -> None:
    asset = parse_ddo(ddo_4(services=[service(**changes)]))
    assert len(asset.services) <= 1
