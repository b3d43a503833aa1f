"""Which algorithm may run on which dataset (`provider-api.md` section 10.3)."""

import pytest

from provider.assets.compute_options import parse_compute_options
from provider.compute.checksums import container_checksum
from provider.compute.trust import (
    AlgorithmIdentity,
    check_checksums,
    check_raw,
    demands_files_checksum,
    demands_owner,
    trusted_entries,
)
from provider.errors import ComputeRefused

OWNER, DATA_NFT, OTHER = "0x" + "Ab" * 20, "0x" + "Cd" * 20, "0x" + "12" * 20
ALGORITHM = AlgorithmIdentity("did:op:1", "s1", DATA_NFT, OWNER)
FILES, CONTAINER = "f" * 64, "c" * 64


def judge(compute: object, algorithm: AlgorithmIdentity = ALGORITHM, *, strict: bool = False) -> str:
    """`ok`, or the reason of the refusal."""
    options = parse_compute_options(compute, strict=strict)
    try:
        entries = trusted_entries(options, algorithm, "dataset")
        files = FILES if demands_files_checksum(entries) else None
        check_checksums(entries, files=files, container=CONTAINER, resource="dataset")
    except ComputeRefused as error:
        return error.reason if error.resource == "dataset" else f"{error.resource} is wrong"
    return "ok"


def algorithms(*entries: object) -> dict[str, object]:
    return {"publisherTrustedAlgorithms": list(entries)}


def publishers(*addresses: object) -> dict[str, object]:
    return {"publisherTrustedAlgorithmPublishers": list(addresses)}


@pytest.mark.parametrize(
    ("compute", "verdict"),
    [
        ({}, "ok"),
        (algorithms(), "ok"),
        (publishers(), "ok"),
        (None, "not_trusted_algo"),
        ("nonsense", "not_trusted_algo"),
        ({"publisherTrustedAlgorithms": "nonsense"}, "no_publisherTrustedAlgorithms"),
        ({"publisherTrustedAlgorithmPublishers": [1]}, "no_publisherTrustedAlgorithms"),
        (publishers("0x" + "aB" * 20), "ok"),
        (publishers("0x" + "12" * 20, "*"), "ok"),
        (publishers("0x" + "12" * 20), "not_trusted_algo_publisher"),
        (algorithms({"did": "did:op:1"}), "ok"),
        (algorithms({"did": "did:op:2"}), "not_trusted_algo"),
        (algorithms({"did": "did:op:2"}, {"did": "*"}), "ok"),
        (algorithms({"did": "did:op:1"}, {"filesChecksum": FILES}), "no_publisherTrustedAlgorithms"),
        (algorithms({"did": "did:op:1", "serviceId": "s1"}), "ok"),
        (algorithms({"did": "did:op:1", "serviceId": "s2"}), "not_trusted_algo"),
        (algorithms({"did": "did:op:1", "filesChecksum": FILES.upper()}), "ok"),
        (algorithms({"did": "did:op:1", "filesChecksum": ""}), "ok"),
        (algorithms({"did": "did:op:1", "filesChecksum": "*"}), "ok"),
        (algorithms({"did": "did:op:1", "filesChecksum": "0" * 64}), "algorithm_file_checksum_mismatch"),
        (algorithms({"did": "did:op:1", "filesChecksum": 5}), "algorithm_file_checksum_mismatch"),
        (algorithms({"did": "did:op:1", "containerSectionChecksum": CONTAINER}), "ok"),
        (algorithms({"did": "did:op:1", "containerSectionChecksum": "0"}), "algorithm_container_checksum_mismatch"),
        # Two versions of one algorithm: either may be it, but not half of each.
        (algorithms({"did": "did:op:1", "filesChecksum": "0"}, {"did": "did:op:1", "filesChecksum": FILES}), "ok"),
        (
            algorithms(
                {"did": "did:op:1", "filesChecksum": FILES, "containerSectionChecksum": "0"},
                {"did": "did:op:1", "filesChecksum": "0", "containerSectionChecksum": CONTAINER},
            ),
            "algorithm_container_checksum_mismatch",
        ),
        (publishers(OTHER) | algorithms({"did": "did:op:1"}), "not_trusted_algo_publisher"),
        (publishers(OWNER) | algorithms({"did": "did:op:2"}), "not_trusted_algo"),
        (publishers(DATA_NFT), "not_trusted_algo_publisher"),
    ],
)
def test_every_list_that_is_not_empty_must_hold_the_algorithm(compute: object, verdict: str) -> None:
    assert judge(compute) == verdict


@pytest.mark.parametrize(
    ("compute", "verdict"),
    [
        (None, "not_trusted_algo"),
        ({}, "not_trusted_algo"),
        (publishers() | algorithms(), "not_trusted_algo"),
        ({"publisherTrustedAlgorithms": None, "publisherTrustedAlgorithmPublishers": None}, "not_trusted_algo"),
        ({"allowRawAlgorithm": True}, "not_trusted_algo"),
        (publishers() | {"publisherTrustedAlgorithms": "nonsense"}, "no_publisherTrustedAlgorithms"),
        (publishers(DATA_NFT) | {"publisherTrustedAlgorithms": "nonsense"}, "no_publisherTrustedAlgorithms"),
        (publishers(DATA_NFT.lower()), "ok"),
        (publishers(OTHER, "*"), "ok"),
        (publishers(OTHER), "not_trusted_algo_publisher"),
        (publishers(OWNER), "not_trusted_algo_publisher"),
        (algorithms({"did": "did:op:1"}), "ok"),
        (algorithms({"did": "*"}), "ok"),
        (algorithms({"did": "did:op:2"}), "not_trusted_algo"),
        (algorithms({"did": "did:op:1", "serviceId": "s2"}), "not_trusted_algo"),
        (algorithms({"did": "did:op:1", "filesChecksum": "0"}), "algorithm_file_checksum_mismatch"),
        (algorithms({"filesChecksum": FILES}), "no_publisherTrustedAlgorithms"),
        # One list is enough, and a data NFT stands for whatever its publisher makes of it.
        (publishers(OTHER) | algorithms({"did": "did:op:1"}), "ok"),
        (publishers(DATA_NFT) | algorithms({"did": "did:op:2"}), "ok"),
        (publishers(DATA_NFT) | algorithms({"did": "did:op:1", "filesChecksum": "0"}), "ok"),
        (publishers(OTHER) | algorithms({"did": "did:op:2"}), "not_trusted_algo"),
    ],
)
def test_ddo_5_trusts_nobody_but_whom_one_of_its_lists_holds(compute: object, verdict: str) -> None:
    assert judge(compute, strict=True) == verdict


@pytest.mark.parametrize(
    ("compute", "strict", "demanded"),
    [
        (publishers(OTHER), False, True),
        (publishers(OTHER) | algorithms({"did": "did:op:1"}), False, True),
        (publishers(OTHER), True, False),
        (publishers(OTHER, "*"), False, False),
        (publishers(), False, False),
        (algorithms({"did": "did:op:1"}), False, False),
        (publishers(OTHER) | {"publisherTrustedAlgorithms": 1}, False, False),
        (None, False, False),
    ],
)
def test_owner_is_demanded_only_where_it_decides(compute: object, strict: bool, demanded: bool) -> None:
    assert demands_owner(parse_compute_options(compute, strict=strict)) is demanded


def test_unknown_owner_is_trusted_by_nobody_but_all() -> None:
    unknown = AlgorithmIdentity("did:op:1", "s1", DATA_NFT, None)
    assert judge(publishers("0x" + "ab" * 20), unknown) == "not_trusted_algo_publisher"
    assert judge(publishers("*"), unknown) == "ok"


def test_container_that_has_no_checksum_matches_none() -> None:
    compute = algorithms({"did": "did:op:1", "containerSectionChecksum": "None"})
    entries = trusted_entries(parse_compute_options(compute, strict=False), ALGORITHM, "dataset")
    with pytest.raises(ComputeRefused):
        check_checksums(entries, files=None, container=None, resource="dataset")


@pytest.mark.parametrize("value", [None, False, "true", "false", 1, [], {}])
def test_raw_algorithm_needs_a_literal_true(value: object) -> None:
    with pytest.raises(ComputeRefused) as refusal:
        check_raw(parse_compute_options({"allowRawAlgorithm": value}, strict=False), "datasets[1]")
    assert refusal.value.body() == {"error": {"datasets[1]": "no_raw_algo_allowed"}}
    check_raw(parse_compute_options({"allowRawAlgorithm": True}, strict=False), "dataset")


def test_checksum_of_a_container_is_the_documented_one() -> None:
    container = {
        "entrypoint": "node $ALGO",
        "image": "node",
        "checksum": "sha256:8221d20c1c16491d7d56b9657ea09082c0ee4a8ab1a6621fa720da58b09580e4",
    }
    assert container_checksum(container) == "a8f87b1d14fd8304fb7825da73790e5de47b218ff38e6d94b12fca75f0a8a48a"
    assert container_checksum(None) is None
    assert container_checksum({"entrypoint": 5, "checksum": "x"}) is None
