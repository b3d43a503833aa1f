"""POST decrypt: by transaction and by document, who may, in which state, and whose events count."""

import hashlib
import json
import lzma
import time

import pytest
import rlp
from eth_utils import keccak, to_checksum_address
from web3.contract import Contract

from provider.assets.did import did_for
from provider.testing.chain.contracts import contract_at
from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.chain.wallet import TransactionReverted
from provider.testing.http_client import Reply, request
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.access_list import deploy_access_list
from tests.support.chain import eciespy_encrypt
from tests.support.metadata_store import StoringPublisher
from tests.support.nonce_refusal import nonce_refusal


def document_of(data_nft: str, name: str = "planted-ddo-text") -> bytes:
    """A DDO of this data NFT."""
    ddo = {
        "id": did_for(data_nft, 8996),
        "version": "4.1.0",
        "chainId": 8996,
        "nftAddress": to_checksum_address(data_nft),
        "metadata": {"name": f"{name} \u20ac"},
        "services": [],
    }
    return json.dumps(ddo, ensure_ascii=False).encode()


def hash_of(document: bytes) -> bytes:
    return hashlib.sha256(document).digest()


ALL_FLAGS = pytest.mark.parametrize("flags", [0, 1, 2, 3], ids=["clear", "compressed", "encrypted", "both"])


def post(server: DemoServer, value: object, path: str = "/api/services/decrypt") -> Reply:
    return request(
        "POST", server.url + path, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"}
    )


def clock_nonce() -> str:
    """Microseconds: above every number that other tests have counted up to, and exact as a double for all of them."""
    return str(time.time_ns() // 1000)


def signed(decrypter: Consumer, named: str, data_nft: str, **more: object) -> dict[str, object]:
    """Parameters signed over `named`, which is the transaction or the data NFT; `more` is added after signing."""
    nonce, chain_id = clock_nonce(), more.get("chainId", 8996)
    return {
        "decrypterAddress": decrypter.address,
        "chainId": chain_id,
        "dataNftAddress": data_nft,
        "nonce": nonce,
        "signature": decrypter.sign(f"{named}{decrypter.address}{chain_id}", nonce),
        **more,
    }


def by_transaction(decrypter: Consumer, tx: str, data_nft: str, **more: object) -> dict[str, object]:
    return signed(decrypter, tx, data_nft, transactionId=tx, **more)


def by_document(decrypter: Consumer, data_nft: str, data: bytes, flags: object, /, **more: object) -> dict[str, object]:
    its_hash = hash_of(document_of(data_nft)).hex()
    document = {"encryptedDocument": "0x" + data.hex(), "flags": flags, "documentHash": "0x" + its_hash}
    return signed(decrypter, data_nft, data_nft, **{**document, **more})


def sealed(document: bytes, flags: int) -> bytes:
    data = lzma.compress(document) if flags & 1 else document
    return bytes.fromhex(eciespy_encrypt(data)[2:]) if flags & 2 else data


def opened(reply: Reply, data_nft: str) -> bool:
    plain = reply.headers.get("content-type", "").partition(";")[0] == "text/plain"
    return (reply.status, reply.body) == (201, document_of(data_nft)) and plain


def refused(reply: Reply, status: int, text: str) -> bool:
    return (reply.status, reply.json()) == (status, {"error": text})


@pytest.fixture(scope="module")
def data_nft(publisher: StoringPublisher) -> str:
    """A data NFT in state 0 without metadata."""
    return publisher.create_nft()[0]


# What is opened


@ALL_FLAGS
def test_document_of_a_transaction_is_opened(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer, flags: int
) -> None:
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft), flags=flags)
    assert opened(post(server, by_transaction(stranger, tx, data_nft)), data_nft)
    assert "planted-ddo-text" not in server.child.stderr_tail(1 << 24)


@ALL_FLAGS
def test_given_document_is_opened(server: DemoServer, data_nft: str, stranger: Consumer, flags: int) -> None:
    assert opened(post(server, by_document(stranger, data_nft, sealed(document_of(data_nft), flags), flags)), data_nft)


def test_legacy_lzma_and_unused_flag_bits_are_understood(server: DemoServer, data_nft: str, stranger: Consumer) -> None:
    data = lzma.compress(document_of(data_nft), format=lzma.FORMAT_ALONE)
    assert opened(post(server, by_document(stranger, data_nft, data, 0xFD)), data_nft)


def test_hex_may_come_without_prefix_and_flags_as_text(server: DemoServer, data_nft: str, stranger: Consumer) -> None:
    asked = by_document(stranger, data_nft, b"", "2")
    asked |= {
        "encryptedDocument": sealed(document_of(data_nft), 2).hex().upper(),
        "documentHash": hash_of(document_of(data_nft)).hex(),
    }
    assert opened(post(server, asked), data_nft)


def test_addresses_and_transaction_ids_come_in_any_form(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    for named in (tx, tx[2:], tx[2:].upper()):
        assert opened(post(server, by_transaction(stranger, named, data_nft.lower())), data_nft)


def test_empty_flags_of_an_event_mean_none(server: DemoServer, publisher: StoringPublisher, stranger: Consumer) -> None:
    data_nft, _ = publisher.create_nft()
    receipt = publisher.set_raw_metadata(
        data_nft, document_of(data_nft), flags=b"", state=0, document_hash=hash_of(document_of(data_nft))
    )
    assert opened(post(server, by_transaction(stranger, receipt["transactionHash"].to_0x_hex(), data_nft)), data_nft)


def test_chain_id_may_be_text(server: DemoServer, data_nft: str, stranger: Consumer) -> None:
    assert opened(post(server, by_document(stranger, data_nft, document_of(data_nft), 0, chainId="8996")), data_nft)


def test_request_of_aquarius_is_answered(chain: DemoChain, server: DemoServer, publisher: StoringPublisher) -> None:
    """`provider-api.md` section 15.3: v is 0 or 1, the nonce is time_ns as text, decryptorUrl may end in a slash."""
    aquarius = Consumer(chain.wallet(SPARE_KEYS[8]), server.url)
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft), flags=3)
    nonce = str(time.time_ns())
    signature = aquarius.sign(f"{tx}{aquarius.address}8996", nonce)
    asked = {
        "transactionId": tx,
        "chainId": 8996,
        "decrypterAddress": aquarius.address,
        "dataNftAddress": data_nft,
        "signature": signature[:-2] + f"{int(signature[-2:], 16) - 27:02x}",
        "nonce": nonce,
    }
    assert opened(post(server, asked, "//api/services/decrypt"), data_nft)


def test_updated_document_is_opened(server: DemoServer, publisher: StoringPublisher, stranger: Consumer) -> None:
    data_nft, _ = publisher.create_nft()
    publisher.set_metadata(data_nft, b"the first one")
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    assert opened(post(server, by_transaction(stranger, tx, data_nft)), data_nft)


def with_next_contract_as_updater(chain: DemoChain, publisher: StoringPublisher, data_nft: str) -> tuple[Contract, str]:
    """The data NFT, and the contract that the publisher makes next, which may write its metadata."""
    nft = contract_at(chain.w3, "ERC721Template", data_nft)
    sender = publisher.wallet.address
    future_nonce = chain.w3.eth.get_transaction_count(sender) + 1
    creator = to_checksum_address(keccak(rlp.encode([bytes.fromhex(sender[2:]), future_nonce]))[12:])
    publisher.wallet.send(nft.functions.addToMetadataList(creator))
    return nft, creator


def test_created_comes_before_updated(
    chain: DemoChain, server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    """One transaction that publishes and updates: the contract that will do both is made an updater beforehand."""
    data_nft, _ = publisher.create_nft()
    nft, creator = with_next_contract_as_updater(chain, publisher, data_nft)
    calls = [
        forge.Call(
            data_nft,
            bytes.fromhex(
                nft.encode_abi("setMetaData", [0, "", "", b"\x00", document, hashlib.sha256(document).digest(), []])[2:]
            ),
        )
        for document in (document_of(data_nft), b"the update")
    ]
    tx, emitter = forge.emit(publisher.wallet, calls)
    assert emitter == creator
    assert opened(post(server, by_transaction(stranger, tx, data_nft)), data_nft)


def test_events_of_a_foreign_contract_do_not_count(
    chain: DemoChain, server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    """[K2] A revoked document is not readable through another NFT, nor through a contract that repeats its event."""
    mine, _ = publisher.create_nft()
    event = forge.metadata_event(
        publisher.wallet.address,
        sealed(document_of(mine), 2),
        document_hash=hash_of(document_of(mine)),
        flags=b"\x02",
        state=0,
    )
    tx, _ = forge.emit(stranger.wallet, [event])
    assert refused(post(server, by_transaction(stranger, tx, mine)), 400, "Failed to process transaction id.")

    revoked, _ = publisher.create_nft()
    revoked_tx = publisher.set_metadata(revoked, document_of(revoked))
    publisher.set_state(revoked, 3)
    through_another = by_transaction(stranger, revoked_tx, mine)
    assert refused(post(server, through_another), 400, "Failed to process transaction id.")


def test_real_event_is_found_among_forged_ones(
    chain: DemoChain, server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    data_nft, _ = publisher.create_nft()
    nft, _ = with_next_contract_as_updater(chain, publisher, data_nft)
    forged = forge.metadata_event(
        publisher.wallet.address, b"forged", document_hash=hashlib.sha256(b"forged").digest(), flags=b"\x00", state=0
    )
    real = forge.Call(
        data_nft,
        bytes.fromhex(
            nft.encode_abi("setMetaData", [0, "", "", b"", document_of(data_nft), hash_of(document_of(data_nft)), []])[
                2:
            ]
        ),
    )
    tx, _ = forge.emit(publisher.wallet, [forged, real, forged])
    assert opened(post(server, by_transaction(stranger, tx, data_nft)), data_nft)


# What is refused


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        (0, 201, None),
        (1, 403, "Asset end of life"),
        (2, 403, "Asset deprecated"),
        (3, 403, "Asset revoked"),
        (4, 201, None),
        (5, 201, None),
        (6, 400, "Invalid MetadataState"),
    ],
)
def test_state_of_the_nft_decides(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer, state: int, status: int, text: str | None
) -> None:
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    publisher.set_state(data_nft, state)
    for asked in (
        by_transaction(stranger, tx, data_nft),
        by_document(stranger, data_nft, sealed(document_of(data_nft), 2), 2),
    ):
        reply = post(server, asked)
        assert opened(reply, data_nft) if text is None else refused(reply, status, text)


def test_a_revoked_document_is_not_opened_through_another_nft(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer, data_nft: str
) -> None:
    """Sealed bytes and hash are public: they stand in the log."""
    revoked, _ = publisher.create_nft()
    secret = document_of(revoked, "revoked")
    publisher.set_metadata(revoked, secret)
    publisher.set_state(revoked, 3)
    copied = {"encryptedDocument": sealed(secret, 2).hex(), "documentHash": hash_of(secret).hex()}
    assert refused(post(server, by_document(stranger, revoked, b"", 2, **copied)), 403, "Asset revoked")
    reply = post(server, by_document(stranger, data_nft, b"", 2, **copied))
    assert refused(reply, 400, "Checksum doesn't match.")
    receipt = publisher.set_raw_metadata(
        data_nft, sealed(secret, 2), flags=b"\x02", state=0, document_hash=hash_of(secret)
    )
    reply = post(server, by_transaction(stranger, receipt["transactionHash"].to_0x_hex(), data_nft))
    assert refused(reply, 400, "Checksum doesn't match.")


@pytest.mark.parametrize("is_bound", [True, False], ids=["bound list", "list of 4.0.0"])
def test_a_file_list_confirms_no_guess(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer, is_bound: bool
) -> None:
    """By arguments and by an event of the attacker's own NFT, right and wrong guesses look alike."""
    mine, datatoken = publisher.create_nft()
    listed: object = [{"type": "url", "method": "GET", "url": "https://secret.example/file"}]
    if is_bound:
        listed = {"datatokenAddress": datatoken, "nftAddress": mine, "files": listed}
    files = json.dumps(listed).encode()
    ciphertext = sealed(files, 2)
    for guess in (files, files.replace(b"secret", b"public")):
        its_hash = hash_of(guess)
        asked = by_document(stranger, mine, ciphertext, 2, documentHash=its_hash.hex())
        assert refused(post(server, asked), 400, "Checksum doesn't match.")
        receipt = publisher.set_raw_metadata(mine, ciphertext, flags=b"\x02", state=0, document_hash=its_hash)
        asked = by_transaction(stranger, receipt["transactionHash"].to_0x_hex(), mine)
        assert refused(post(server, asked), 400, "Checksum doesn't match.")


def test_a_remote_stub_is_opened_from_its_event_only(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    """The document that it refers to is then fetched (`test_remote_documents.py`)."""
    data_nft, _ = publisher.create_nft()
    stub = json.dumps({"remote": {"type": "ipfs", "hash": "QmStub"}}).encode()
    asked = by_document(stranger, data_nft, sealed(stub, 2), 2, documentHash=hash_of(stub).hex())
    assert refused(post(server, asked), 400, "Checksum doesn't match.")


def test_a_credential_of_version_5_is_opened(
    server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    data_nft, _ = publisher.create_nft()
    subject = {"chainId": 8996, "nftAddress": data_nft, "services": []}
    document = json.dumps({"id": did_for(data_nft, 8996, prefix="did:ope:"), "credentialSubject": subject}).encode()
    tx = publisher.set_metadata(data_nft, document)
    reply = post(server, by_transaction(stranger, tx, data_nft))
    assert (reply.status, reply.body) == (201, document)


def test_bomb_is_refused(server: DemoServer, publisher: StoringPublisher, stranger: Consumer) -> None:
    data_nft, _ = publisher.create_nft()
    zeros = bytes(20_000_000)
    bomb, its_hash = lzma.compress(zeros, preset=1), hashlib.sha256(zeros).digest()
    by_hand = by_document(stranger, data_nft, bomb, 1, documentHash=its_hash.hex())
    assert refused(post(server, by_hand), 400, "Failed to decompress")
    receipt = publisher.set_raw_metadata(data_nft, bomb, flags=b"\x01", state=0, document_hash=its_hash)
    on_chain = by_transaction(stranger, receipt["transactionHash"].to_0x_hex(), data_nft)
    assert refused(post(server, on_chain), 400, "Failed to decompress")


@pytest.mark.parametrize(
    ("data", "flags", "text"),
    [
        (b"no blob", 2, "Failed to decrypt."),
        (b"", 2, "Failed to decrypt."),
        (bytes(200), 3, "Failed to decrypt."),
        (b"no xz", 1, "Failed to decompress"),
        (b"", 1, "Failed to decompress"),
        (lzma.compress(bytes(100))[:-20], 1, "Failed to decompress"),
        (b"another document", 0, "Checksum doesn't match."),
        (sealed(b"another document", 3), 3, "Checksum doesn't match."),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_documents_are_refused(
    server: DemoServer, data_nft: str, stranger: Consumer, data: bytes, flags: int, text: str
) -> None:
    reply = post(
        server,
        by_document(stranger, data_nft, data, flags),
    )
    assert refused(reply, 400, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"encryptedDocument": "0xabc"},
        {"encryptedDocument": "no hex"},
        {"encryptedDocument": "\u0660\u0660"},
        {"documentHash": "0xzz"},
        {"flags": "x"},
        {"flags": -1},
        {"flags": 256},
        {"flags": 1.0},
        {"flags": True},
        {"flags": [2]},
        {"flags": "\u0662"},
        {"flags": "0x2"},
    ],
    ids=str,
)
def test_arguments_that_are_no_bytes_are_refused(
    server: DemoServer, data_nft: str, stranger: Consumer, wrong: dict[str, object]
) -> None:
    reply = post(server, by_document(stranger, data_nft, sealed(document_of(data_nft), 2), 2, **wrong))
    assert refused(reply, 400, "Failed to convert input args to bytes.")


@pytest.mark.parametrize(
    ("chain_id", "text"),
    [
        (1, "Unsupported chain ID 1"),
        ("1", "Unsupported chain ID 1"),
        ("abc", "Unsupported chain ID"),
        (8996.5, "Unsupported chain ID"),
    ],
)
def test_other_chains_are_refused(
    server: DemoServer, data_nft: str, stranger: Consumer, chain_id: object, text: str
) -> None:
    """[K17]"""
    assert refused(post(server, by_document(stranger, data_nft, document_of(data_nft), 0, chainId=chain_id)), 400, text)


@pytest.mark.parametrize("address", ["0x" + "12" * 20, "0x" + "00" * 20], ids=["nobody's", "zero"])
def test_nfts_of_no_factory_are_refused(server: DemoServer, stranger: Consumer, address: str) -> None:
    reply = post(server, by_document(stranger, address, document_of(address), 0))
    assert refused(reply, 400, "Asset not deployed by the data NFT factory.")


def test_contracts_of_others_are_refused(
    chain: DemoChain, server: DemoServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    _, datatoken = publisher.create_nft()
    for address in (datatoken, chain.contracts.factory, chain.contracts.ocean, stranger.address):
        reply = post(server, by_document(stranger, address, document_of(address), 0))
        assert refused(reply, 400, "Asset not deployed by the data NFT factory.")


@pytest.mark.parametrize(
    "tx", ["0x" + "ab" * 32, "0x1234", "no hex", "0x" + "g" * 64, "1" * 10_000], ids=lambda tx: tx[:9]
)
def test_unknown_transactions_are_refused_within_bounds(
    server: DemoServer, data_nft: str, stranger: Consumer, tx: str
) -> None:
    reply = post(server, by_transaction(stranger, tx, data_nft))
    assert refused(reply, 400, "Failed to process transaction id.")


def test_failed_and_other_transactions_are_refused(
    chain: DemoChain, server: DemoServer, publisher: StoringPublisher, stranger: Consumer, bought: tuple[Published, str]
) -> None:
    data_nft, datatoken = publisher.create_nft()
    nft = contract_at(chain.w3, "ERC721Template", data_nft)
    with pytest.raises(TransactionReverted) as reverted:
        stranger.wallet.send(nft.functions.setMetaData(0, "", "", b"\x00", b"x", hash_of(b"x"), []))
    minted = publisher.mint(datatoken, stranger.address)
    for tx in (reverted.value.tx_id, minted, bought[1], bought[0].publish_tx):
        reply = post(server, by_transaction(stranger, tx, data_nft))
        assert refused(reply, 400, "Failed to process transaction id.")


# Who may ask


def test_only_authorized_decrypters_are_served(
    launch: LaunchServer, publisher: StoringPublisher, consumer: Consumer, stranger: Consumer
) -> None:
    listed = "0x" + consumer.address[2:].swapcase()
    own = launch(AUTHORIZED_DECRYPTERS=json.dumps([listed]))
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    assert opened(post(own, by_transaction(consumer, tx, data_nft)), data_nft)
    asked = by_transaction(stranger, tx, data_nft)
    assert refused(post(own, asked), 403, "Decrypter not authorized")
    # The nonce went first, even of one who is not served.
    again = post(own, asked)
    assert (again.status, list(again.json()["errors"])) == (400, ["signature"])
    # An unknown chain is said before, an NFT of no factory after that.
    assert refused(post(own, by_transaction(stranger, tx, data_nft, chainId=1)), 400, "Unsupported chain ID 1")
    assert refused(post(own, by_transaction(stranger, tx, stranger.address)), 403, "Decrypter not authorized")


def test_an_access_list_on_chain_decides_who_decrypts(
    launch: LaunchServer, publisher: StoringPublisher, consumer: Consumer, stranger: Consumer
) -> None:
    access_list = deploy_access_list(publisher.wallet, consumer.address)
    # Of another chain: it says nothing about documents of this one, as in ocean-node.
    lists = {"8996": [access_list.address.lower()], "1": ["0x" + "11" * 20]}
    own = launch(AUTHORIZED_DECRYPTERS_LIST=json.dumps(lists), PROVIDER_CACHE_STATE_SECONDS="0")
    both = launch(AUTHORIZED_DECRYPTERS_LIST=json.dumps(lists), AUTHORIZED_DECRYPTERS=json.dumps([stranger.address]))
    other = launch(AUTHORIZED_DECRYPTERS_LIST=json.dumps({"1": ["0x" + "11" * 20]}))
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    assert opened(post(own, by_transaction(consumer, tx, data_nft)), data_nft)
    assert refused(post(own, by_transaction(stranger, tx, data_nft)), 403, "Decrypter not authorized")
    assert refused(post(both, by_transaction(consumer, tx, data_nft)), 403, "Decrypter not authorized")
    assert refused(post(both, by_transaction(stranger, tx, data_nft)), 403, "Decrypter not authorized")
    assert opened(post(other, by_transaction(stranger, tx, data_nft)), data_nft)
    access_list.remove_first()
    assert refused(post(own, by_transaction(consumer, tx, data_nft)), 403, "Decrypter not authorized")


def test_a_list_that_is_no_contract_admits_nobody(
    launch: LaunchServer, publisher: StoringPublisher, stranger: Consumer
) -> None:
    own = launch(AUTHORIZED_DECRYPTERS_LIST=json.dumps({"8996": ["0x" + "11" * 20]}))
    data_nft, _ = publisher.create_nft()
    tx = publisher.set_metadata(data_nft, document_of(data_nft))
    assert refused(post(own, by_transaction(stranger, tx, data_nft)), 403, "Decrypter not authorized")


def test_nonce_is_spent_first_and_an_equal_one_refused(server: DemoServer, data_nft: str, stranger: Consumer) -> None:
    asked = by_document(stranger, data_nft, b"wrong", 0, encryptedDocument="0x00")
    assert refused(post(server, asked), 400, "Checksum doesn't match.")
    again = post(server, asked)
    nonce = asked["nonce"]
    assert (again.status, again.json()) == (
        400,
        {
            "errors": {"signature": nonce_refusal(nonce, nonce)},
            "message": "Validation error",
            "success": False,
        },
    )


def test_signature_over_both_ids_is_refused(server: DemoServer, data_nft: str, stranger: Consumer) -> None:
    """Published documentation says so; no client signs that (`provider-api.md` section 15.5)."""
    tx, nonce = "0x" + "ab" * 32, clock_nonce()
    asked = by_transaction(stranger, tx, data_nft, nonce=nonce)
    asked["signature"] = stranger.sign(f"{tx}{data_nft}{stranger.address}8996", nonce)
    reply = post(server, asked)
    assert reply.status == 400
    assert isinstance(reply.json()["errors"]["signature"], str)


def test_somebody_elses_signature_is_refused(
    server: DemoServer, data_nft: str, stranger: Consumer, consumer: Consumer
) -> None:
    reply = post(server, by_document(stranger, data_nft, document_of(data_nft), 0, decrypterAddress=consumer.address))
    assert isinstance(reply.json()["errors"]["signature"], str)


# Fields


def test_nothing_given_names_every_field(server: DemoServer) -> None:
    reply = post(server, {})
    assert reply.status == 400
    without = "is required when transactionId is not present."
    errors = reply.json()["errors"]
    assert errors["decrypterAddress"] == ["The decrypterAddress field is required."]
    assert errors["chainId"] == ["The chainId field is required."]
    assert errors["dataNftAddress"] == ["The dataNftAddress field is required."]
    assert errors["transactionId"] == [
        "The transactionId field is required when dataNftAddress, encryptedDocument, flags, documentHash "
        "is not present."
    ]
    for name in ("encryptedDocument", "flags", "documentHash"):
        assert f"The {name} field {without}" in errors[name]
    assert errors["nonce"][0] == "The nonce field is required."
    assert errors["signature"] == ["Invalid signature provided. Please check the nonce or documentId."]


@pytest.mark.parametrize(
    "missing",
    [
        "decrypterAddress",
        "chainId",
        "dataNftAddress",
        "nonce",
        "signature",
        "encryptedDocument",
        "flags",
        "documentHash",
    ],
)
def test_each_missing_field_is_named(server: DemoServer, data_nft: str, stranger: Consumer, missing: str) -> None:
    asked = by_document(stranger, data_nft, document_of(data_nft), 0)
    without = {name: value for name, value in asked.items() if name != missing}
    for body in (without, {**asked, missing: None}, {**asked, missing: ""}):
        reply = post(server, body)
        assert reply.status == 400
        assert missing in reply.json()["errors"]


@pytest.mark.parametrize(
    "name", ["decrypterAddress", "dataNftAddress", "nonce", "signature", "encryptedDocument", "documentHash"]
)
def test_wrong_types_are_400(server: DemoServer, data_nft: str, stranger: Consumer, name: str) -> None:
    for value in (["x"], {"a": 1}, True, 7, "x" * 10_000, "\udcff"):
        reply = post(server, by_document(stranger, data_nft, document_of(data_nft), 0, **{name: value}))
        assert reply.status == 400, str(value)[:9]
        assert reply.json().keys() <= {"error", "errors", "message", "success"}
