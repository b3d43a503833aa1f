"""Texts that clients sign: `provider-api.md` section 4.2 and `ocean-node-compat.md` section 3.1."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth import messages

TX = "0x" + "ab" * 32
NFT = "0xNFT"
ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
LOWER = ADDRESS.lower()
UPPER = "0x" + ADDRESS[2:].upper()
NODE = messages.node_id("0xe08A1dAe983BC701D05E492DB80e0144f8f4b909")
DID = "did:op:d"

Make = Callable[[str, str], tuple[str, ...]]
# Every route: its messages for an address and a nonce.
ROUTES: dict[str, Make] = {
    "download": lambda a, n: messages.download(document_id=DID, consumer=a, nonce=n),
    "decrypt": lambda a, n: messages.decrypt(transaction_id=TX, data_nft=NFT, decrypter=a, chain_id=8996, nonce=n),
    "start": lambda a, n: messages.start_compute(consumer=a, job_id=None, dataset_did=DID, nonce=n),
    "stop": lambda a, n: messages.stop_compute(consumer=a, job_id="job", document_id=DID, nonce=n),
    "delete": lambda a, n: messages.delete_compute(consumer=a, job_id="job", document_id=DID, nonce=n),
    "status": lambda a, n: messages.compute_status(consumer=a, nonce=n),
    "result": lambda a, n: messages.compute_result(consumer=a, job_id="job", index=0, nonce=n),
    "create": lambda a, n: messages.create_auth_token(address=a, nonce=n, node=NODE),
    "generate": lambda a, n: messages.create_token(address=a, nonce=n, node=NODE),
    "invalidate": lambda a, n: messages.invalidate_token(address=a, nonce=n),
    "links": lambda a, n: messages.create_links(consumer=a, nonce=n),
    "revoke": lambda a, n: messages.revoke_links(consumer=a, nonce=n),
}
NEW = {
    "download": "download",
    "decrypt": "decryptDDO",
    "start": "startCompute",
    "stop": "stopCompute",
    "status": "getComputeStatus",
    "result": "getComputeResult",
    "create": "createAuthToken",
    "generate": "createAuthToken",
    "invalidate": "invalidateAuthToken",
    "links": "createLinks",
    "revoke": "revokeLinks",
}
OLD = {
    "download": f"{DID}7",
    "decrypt": f"{TX}{ADDRESS}89967",
    "start": f"{ADDRESS}{DID}7",
    "stop": f"{ADDRESS}job{DID}7",
    "delete": f"{ADDRESS}job{DID}7",
    "result": f"{ADDRESS}job07",
    "create": f"{ADDRESS}7",
    "invalidate": f"{ADDRESS}7",
}


@pytest.mark.parametrize("route", NEW)
def test_new_message_is_the_first_tried(route: str) -> None:
    for spelling in (ADDRESS, LOWER, UPPER):
        assert ROUTES[route](spelling, "7")[0] == f"{ADDRESS}7{NEW[route]}"


@pytest.mark.parametrize("route", OLD)
def test_old_message_as_sent_is_the_next_tried(route: str) -> None:
    position = 1 if route in NEW else 0
    for spelling in (ADDRESS, LOWER, UPPER):
        assert ROUTES[route](spelling, "7")[position] == OLD[route].replace(ADDRESS, spelling)


@pytest.mark.parametrize("route", ROUTES)
def test_addresses_are_accepted_as_sent_in_eip_55_and_in_lower_case(route: str) -> None:
    texts = ROUTES[route](UPPER, "7")
    assert len(set(texts)) == len(texts)
    known = [f"{ADDRESS}7{NEW[route]}"] if route in NEW else []
    for text in [*known, *([OLD[route]] if route in OLD else [])]:
        assert {text.replace(ADDRESS, spelling) for spelling in (ADDRESS, LOWER, UPPER)} <= set(texts)


def test_bare_address_and_nonce_are_for_the_routes_of_old_clients_only() -> None:
    bare = {f"{spelling}7" for spelling in (ADDRESS, LOWER)}
    accepting = {route for route, make in ROUTES.items() if bare & set(make(LOWER, "7"))}
    assert accepting == {"create", "invalidate"}


def test_ocean_js_9_names_the_node_in_the_message_of_a_token() -> None:
    for route in ("create", "generate"):
        assert f"{ADDRESS}7createAuthToken{NODE}" in ROUTES[route](ADDRESS, "7")


@pytest.mark.parametrize("transaction_id", [None, ""])
def test_decrypt_by_document_signs_the_data_nft(transaction_id: str | None) -> None:
    texts = messages.decrypt(transaction_id=transaction_id, data_nft=NFT, decrypter=ADDRESS, chain_id=1, nonce="7.5")
    assert texts[1] == f"{NFT}{ADDRESS}17.5"


@pytest.mark.parametrize(("job_id", "text"), [(None, f"{ADDRESS}{DID}3"), ("job", f"{ADDRESS}job{DID}3")])
def test_start_compute_signs_caller_job_and_dataset(job_id: str | None, text: str) -> None:
    assert messages.start_compute(consumer=ADDRESS, job_id=job_id, dataset_did=DID, nonce="3")[1] == text


@pytest.mark.parametrize(
    ("job_id", "document_id", "text"),
    [(None, None, ""), ("job", None, "job"), (None, DID, DID), ("job", DID, f"job{DID}")],
)
def test_absent_parts_of_stop_and_delete_are_empty(job_id: str | None, document_id: str | None, text: str) -> None:
    values = {"consumer": ADDRESS, "job_id": job_id, "document_id": document_id, "nonce": "3"}
    assert messages.stop_compute(**values)[1] == messages.delete_compute(**values)[0] == f"{ADDRESS}{text}3"


@pytest.mark.parametrize("index", [0, "0"])
def test_compute_result_signs_caller_job_and_index(index: int | str) -> None:
    texts = messages.compute_result(consumer=ADDRESS, job_id="job", index=index, nonce="3")
    assert texts[1] == f"{ADDRESS}job03"


NONCES = st.from_regex(r"[+-]?([0-9]{1,6}(\.[0-9]{0,3})?|\.[0-9]{1,3})([eE][+-]?[0-9]{1,2})?", fullmatch=True)
HOSTILE = st.text(max_size=60) | st.sampled_from([f"7{command}" for command in NEW.values()] + [f"7{NODE}"])


@given(NONCES, NONCES, HOSTILE, HOSTILE)
def test_no_message_of_the_new_family_is_one_of_the_old_on_any_route(
    signed_nonce: str, other_nonce: str, one: str, other: str
) -> None:
    """A message signed for one command cannot be split into the values of another request."""
    new = {text for make in ROUTES.values() for text in make(ADDRESS, signed_nonce) if not text.endswith(signed_nonce)}
    old = {
        *messages.download(document_id=one, consumer=ADDRESS, nonce=other_nonce),
        *messages.decrypt(transaction_id=one, data_nft=NFT, decrypter=ADDRESS, chain_id=other, nonce=other_nonce),
        *messages.start_compute(consumer=ADDRESS, job_id=one, dataset_did=other, nonce=other_nonce),
        *messages.stop_compute(consumer=ADDRESS, job_id=one, document_id=other, nonce=other_nonce),
        *messages.compute_result(consumer=ADDRESS, job_id=one, index=other, nonce=other_nonce),
    }
    assert not new & {text for text in old if text.endswith(other_nonce)}


def test_no_message_of_the_new_family_serves_two_commands() -> None:
    routes = [route for route in NEW if route != "create"]
    texts = [text for route in routes for text in ROUTES[route](ADDRESS, "7") if not text.endswith("7")]
    assert len(texts) == len(set(texts))
