"""Numbers and lists of the compute demo's publisher and consumer."""

import hashlib

import pytest

from provider.testing.market.compute import CONTAINER, item, token_text, trust, trusting_only
from provider.testing.market.publisher import Published

ASSET = Published("did:op:1", 1, "0x0", ("0x1",), {"services": [{"id": "s"}]}, b"", "0x2")


@pytest.mark.parametrize(
    ("amount_wei", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (10**18, "1"),
        (10**19, "10"),
        (998333333333333333, "0.998333333333333333"),
    ],
)
def test_amounts_are_told_to_the_last_unit(amount_wei: int, text: str) -> None:
    assert token_text(amount_wei) == text


def test_trust_names_the_exact_program_and_container() -> None:
    entry = trust(ASSET, b"print()")
    container = hashlib.sha256((CONTAINER["entrypoint"] + CONTAINER["checksum"]).encode()).hexdigest()
    program = hashlib.sha256(b"print()").hexdigest()
    assert entry == {"did": "did:op:1", "filesChecksum": program, "containerSectionChecksum": container}
    assert trusting_only(entry)["publisherTrustedAlgorithms"] == [entry]
    assert trusting_only(entry)["allowRawAlgorithm"] is False


def test_item_names_an_order_only_if_there_is_one() -> None:
    assert item(ASSET) == {"documentId": "did:op:1", "serviceId": "s"}
    assert item(ASSET, "0x3")["transferTxId"] == "0x3"
