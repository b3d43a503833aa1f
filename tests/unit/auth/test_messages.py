"""Texts that clients sign, from `provider-api.md` section 4.2."""

import pytest

from provider.auth import messages

TX = "0x" + "ab" * 32
NFT, CALLER = "0xNFT", "0xCaLLer"


def test_download_signs_did_and_nonce() -> None:
    assert messages.download(document_id="did:op:test", nonce="1") == ("did:op:test1",)


@pytest.mark.parametrize("chain_id", [8996, "8996"])
def test_decrypt_by_transaction_signs_the_transaction(chain_id: int | str) -> None:
    texts = messages.decrypt(transaction_id=TX, data_nft=NFT, decrypter=CALLER, chain_id=chain_id, nonce="7")
    assert texts == (f"{TX}{CALLER}89967",)


@pytest.mark.parametrize("transaction_id", [None, ""])
def test_decrypt_by_document_signs_the_data_nft(transaction_id: str | None) -> None:
    texts = messages.decrypt(transaction_id=transaction_id, data_nft=NFT, decrypter=CALLER, chain_id=1, nonce="7.5")
    assert texts == (f"{NFT}{CALLER}17.5",)


@pytest.mark.parametrize(("job_id", "text"), [(None, "0xCaLLerdid:op:d3"), ("job", "0xCaLLerjobdid:op:d3")])
def test_start_compute_signs_caller_job_and_dataset(job_id: str | None, text: str) -> None:
    assert messages.start_compute(consumer=CALLER, job_id=job_id, dataset_did="did:op:d", nonce="3") == (text,)


@pytest.mark.parametrize(
    ("job_id", "document_id", "text"),
    [
        (None, None, "0xCaLLer3"),
        ("job", None, "0xCaLLerjob3"),
        (None, "did:op:d", "0xCaLLerdid:op:d3"),
        ("job", "did:op:d", "0xCaLLerjobdid:op:d3"),
    ],
)
def test_absent_parts_of_stop_and_delete_are_empty(job_id: str | None, document_id: str | None, text: str) -> None:
    texts = messages.change_compute(consumer=CALLER, job_id=job_id, document_id=document_id, nonce="3")
    assert texts == (text,)


@pytest.mark.parametrize("index", [0, "0"])
def test_compute_result_signs_caller_job_and_index(index: int | str) -> None:
    assert messages.compute_result(consumer=CALLER, job_id="job", index=index, nonce="3") == ("0xCaLLerjob03",)


def test_auth_token_signs_address_and_nonce_only() -> None:
    assert messages.auth_token(address=CALLER, nonce="9") == ("0xCaLLer9",)
