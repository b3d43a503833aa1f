"""A use of a dataset, from the claim of a consumer to its end."""

import pytest

from provider.assets.did import _PREFIXES, is_did
from provider.books.record import MAX_NAME_CHARS, Use, claimed, of_result

DID = "did:op:" + "a" * 64
TX = "0x" + "b" * 64


def test_a_claim_keeps_what_has_the_right_form() -> None:
    use = claimed("0xC", did=DID, service_id="s", order_tx_id="B" * 64, file_index="7", link="l")
    assert (use.did, use.service_id, use.order_tx_id, use.file_index, use.link) == (DID, "s", TX, 7, "l")
    assert not use.is_bought


@pytest.mark.parametrize("prefix", _PREFIXES)
def test_a_dataset_is_named_whatever_the_version_of_its_document(prefix: str) -> None:
    named = prefix + "a" * 64
    assert is_did(named)
    assert claimed("0xC", did=named, service_id="s", order_tx_id=TX).did == named


@pytest.mark.parametrize("index", ["-1", "٣", "1e3", "9" * 7, "", None])
def test_a_file_index_that_is_none_is_left_out(index: str | None) -> None:
    assert claimed("0xC", did=DID, service_id="s", order_tx_id=TX, file_index=index).file_index is None


@pytest.mark.parametrize("text", ["https://user:secret@host/file", "did:op:x", f"{DID}\n", "\ud800", "x" * 9999])
def test_what_a_stranger_writes_in_place_of_names_is_not_kept(text: str) -> None:
    use = claimed("0xC", did=text, service_id="s", order_tx_id=text)
    assert (use.did, use.order_tx_id) == ("", "")


@pytest.mark.parametrize("text", ["\ud800", "a\nb", "\0"])
def test_names_that_a_file_cannot_hold_are_left_out(text: str) -> None:
    assert claimed("0xC", did=DID, service_id=text, order_tx_id=TX).service_id == ""
    assert of_result("0xC", text).job_id == ""


def test_long_names_are_cut() -> None:
    assert len(claimed("0xC", did=DID, service_id="s" * 9999, order_tx_id=TX).service_id) == MAX_NAME_CHARS
    assert len(of_result("0xC", "j" * 9999).job_id) == MAX_NAME_CHARS


@pytest.mark.parametrize(
    ("streamed", "ended", "outcome", "fault"),
    [
        ("complete", "ok", "complete", None),
        ("upstream_truncated", "upstream_truncated", "upstream_truncated", "origin"),
        ("", "order_expired", "order_expired", "consumer"),
        ("", "server_busy", "server_busy", "ours"),
        ("", "refused", "refused", "consumer"),
    ],
)
def test_an_end_is_the_fault_of_one(streamed: str, ended: str, outcome: str, fault: str | None) -> None:
    use = Use("0xC")
    if streamed:
        use.send(10, streamed, "copy", is_part=True, cached_bytes=4)
    use.end("download", ended, at=5.0, seconds=0.5)
    assert (use.outcome, use.fault, use.ended_at, use.endpoint) == (outcome, fault, 5.0, "download")


def test_a_line_of_the_log_names_what_is_public() -> None:
    use = claimed("0xC", did=DID, service_id="https://any.text", order_tx_id=TX)
    assert use.public_facts() == {"did": DID, "order_tx": TX}
    use.buy(1, TX)
    assert use.public_facts() == {"did": DID, "service": "https://any.text", "order_tx": TX}
    assert of_result("0xC", "job").public_facts() == {}


def test_the_file_is_a_claim_until_the_service_is_known_to_have_it() -> None:
    """Else one buyer could name a million files, and each would take a place in the health and among the probes."""
    use = claimed("0xC", did=DID, service_id="s", order_tx_id=TX, file_index="123456")
    assert use.file_index == 123456
    use.buy(1, TX)
    assert use.file_index is None
