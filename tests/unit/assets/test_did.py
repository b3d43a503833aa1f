"""DIDs: the vector, both prefixes, the form."""

import hashlib

import pytest

from provider.assets.did import did_for, is_did, matches

# provider-api.md section 18
NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
HASH = "aee900df7379cda6a5aa1b87bd77e053906002058f649825df0bffe5d8cf17dc"


def test_did_of_the_vector() -> None:
    assert did_for(NFT, 1) == f"did:op:{HASH}"
    assert hashlib.sha256(f"{NFT}1".encode()).hexdigest() == HASH


def test_case_of_the_address_does_not_matter() -> None:
    assert did_for(NFT.lower(), 1) == did_for("0x" + NFT[2:].upper(), 1) == f"did:op:{HASH}"


@pytest.mark.parametrize("prefix", ["did:op:", "did:ope:"])
def test_both_prefixes_match(prefix: str) -> None:
    assert matches(prefix + HASH, NFT, 1)
    assert did_for(NFT, 1, prefix=prefix) == prefix + HASH


@pytest.mark.parametrize(
    ("did", "data_nft", "chain_id"),
    [
        (f"did:op:{HASH}", NFT, 137),
        (f"did:op:{HASH}", "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09", 1),
        (f"did:op:{HASH.upper()}", NFT, 1),
        (f"did:opx:{HASH}", NFT, 1),
        (HASH, NFT, 1),
        (f"did:op:{HASH} ", NFT, 1),
        ("", NFT, 1),
    ],
)
def test_other_dids_do_not_match(did: str, data_nft: str, chain_id: int) -> None:
    assert not matches(did, data_nft, chain_id)


@pytest.mark.parametrize("text", [f"did:op:{HASH}", f"did:ope:{HASH}"])
def test_form_of_a_did(text: str) -> None:
    assert is_did(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:op:",
        "did:op:test",
        f"did:op:{HASH}/",
        f"did:op:{HASH}\n",
        f"did:op:{HASH[:-1]}",
        f"did:op:{HASH}0",
        f"did:op:{HASH.upper()}",
        f"did:opp:{HASH}",
        f"DID:op:{HASH}",
        f"did:op:{HASH[:-3]}/..",
        f"did:op:{HASH[:-1]}٣",
    ],
)
def test_anything_else_has_not_the_form(text: str) -> None:
    assert not is_did(text)
