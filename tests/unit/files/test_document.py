"""Documents: all flag values, bombs, cut and padded streams, wrong hashes."""

import hashlib
import json
import lzma
import tracemalloc
from base64 import urlsafe_b64encode

import ecies
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.did import did_for
from provider.crypto.accounts import Account
from provider.crypto.ecies import encrypt
from provider.errors import DecryptError, OriginsBusy, UpstreamError, UpstreamRefused
from provider.files.document import (
    MAX_VALUES,
    encrypted_data_of,
    is_credential,
    is_document_of,
    is_remote_stub,
    open_document,
    plain_ddo,
    read_ddo,
)
from provider.files.remote_documents import RemoteDocuments, ddo_of
from provider.upstream.memory_source import MemorySource
from tests.support.recursion import recursion_of_a_server

ACCOUNT = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
DOCUMENT = b'{"a":1}'
# provider-api.md section 18
XZ = bytes.fromhex(
    "fd377a585a000004e6d6b4460200210116000000742fe5a30100067b2261223a317d0000749319b1977e1fad00011f07162eb8731fb6f37d01"
    "0000000004595a"
)
HASH = bytes.fromhex("015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862")
LIMIT = 5 * 1024 * 1024


def opened(data: bytes, flags: int, expected_hash: bytes = HASH, max_bytes: int = LIMIT) -> bytes:
    return open_document(ACCOUNT, data, flags, expected_hash, max_bytes=max_bytes)


def sealed(data: bytes) -> bytes:
    return encrypt(ACCOUNT.public_key, data)


def test_hash_of_the_vector() -> None:
    assert hashlib.sha256(DOCUMENT).digest() == HASH
    assert lzma.compress(DOCUMENT) == XZ


@pytest.mark.parametrize(
    ("flags", "data"),
    [
        (0, DOCUMENT),
        (1, XZ),
        (2, sealed(DOCUMENT)),
        (3, sealed(XZ)),
        (3, ecies.encrypt(ACCOUNT.public_key.hex(), XZ)),
        (4, DOCUMENT),
        (0xFC, DOCUMENT),
        (0xFF, sealed(XZ)),
    ],
)
def test_the_two_lowest_flags_decide(flags: int, data: bytes) -> None:
    assert opened(data, flags) == DOCUMENT


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE),
        lzma.compress(DOCUMENT, preset=9 | lzma.PRESET_EXTREME),
        lzma.compress(DOCUMENT, check=lzma.CHECK_NONE),
        lzma.compress(DOCUMENT, check=lzma.CHECK_SHA256),
        # A legacy header that tells the length and has no end marker (written by the LZMA SDK).
        lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE)[:5]
        + b"\x07"
        + bytes(7)
        + lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE)[13:],
    ],
    ids=["lzma", "xz -9e", "no check", "sha256 check", "lzma with length"],
)
def test_every_container_that_clients_write_is_read(data: bytes) -> None:
    assert opened(data, 1) == DOCUMENT


@pytest.mark.parametrize(
    ("flags", "data", "text"),
    [
        (2, DOCUMENT, "Failed to decrypt."),
        (2, b"", "Failed to decrypt."),
        (3, XZ, "Failed to decrypt."),
        (2, sealed(DOCUMENT)[:-1], "Failed to decrypt."),
        (1, DOCUMENT, "Failed to decompress"),
        (1, b"", "Failed to decompress"),
        (1, sealed(XZ), "Failed to decompress"),
        (3, sealed(DOCUMENT), "Failed to decompress"),
        (0, XZ, "Checksum doesn't match."),
        (2, sealed(XZ), "Checksum doesn't match."),
        (0, b"", "Checksum doesn't match."),
        (0, DOCUMENT + b"\n", "Checksum doesn't match."),
    ],
)
def test_each_step_fails_with_its_own_text(flags: int, data: bytes, text: str) -> None:
    with pytest.raises(DecryptError) as caught:
        opened(data, flags)
    assert (str(caught.value), caught.value.http_status) == (text, 400)


@pytest.mark.parametrize("expected_hash", [b"", HASH[:-1], HASH + b"\x00", bytes(32)], ids=["none", "cut", "long", "0"])
def test_malformed_hash_matches_nothing(expected_hash: bytes) -> None:
    with pytest.raises(DecryptError, match="Checksum"):
        opened(DOCUMENT, 0, expected_hash)


def test_a_document_in_the_clear_may_have_the_hash_of_its_hex_text() -> None:
    """As `createAsset` of ocean.js publishes it."""
    hex_hash = hashlib.sha256(b"0x" + DOCUMENT.hex().encode()).digest()
    assert opened(DOCUMENT, 0, hex_hash) == DOCUMENT
    for flags, data in ((1, XZ), (2, sealed(DOCUMENT)), (3, sealed(XZ))):
        with pytest.raises(DecryptError, match="Checksum"):
            opened(data, flags, hex_hash)


def test_a_stream_cut_anywhere_is_refused() -> None:
    for length in range(len(XZ)):
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(XZ[:length], 1)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00" * 4, b"x", XZ], ids=["byte", "padding", "garbage", "second stream"])
def test_bytes_after_the_stream_are_refused(tail: bytes) -> None:
    with pytest.raises(DecryptError, match="Failed to decompress"):
        opened(XZ + tail, 1)


@pytest.mark.parametrize("form", [lzma.FORMAT_XZ, lzma.FORMAT_ALONE])
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_000])
def test_document_of_exactly_the_limit_passes_and_one_more_byte_does_not(size: int, form: int) -> None:
    document = b"a" * size
    data, digest = lzma.compress(document, format=form), hashlib.sha256(document).digest()
    assert opened(data, 1, digest, max_bytes=size) == document
    if size:
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(data, 1, digest, max_bytes=size - 1)


def bomb(size: int) -> bytes:
    compressor = lzma.LZMACompressor()
    piece = bytes(1024 * 1024)
    return b"".join([compressor.compress(piece) for _ in range(size // len(piece))]) + compressor.flush()


def test_bomb_is_refused_in_bounded_memory() -> None:
    data = bomb(64 * 1024 * 1024)
    assert len(data) < 16 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(data, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LIMIT


CROWD = b'{"a":[' + b"[]," * MAX_VALUES + b"[]]}"


@pytest.mark.parametrize("flags", [0, 1])
def test_a_document_of_more_values_than_any_has_is_not_parsed(flags: int) -> None:
    """Parsers hold all threads: 5 MiB of empty lists took the event loop 1.7 s each time, and a kilobyte makes them."""
    data = lzma.compress(CROWD) if flags else CROWD
    with pytest.raises(DecryptError):
        opened(data, flags, hashlib.sha256(CROWD).digest())


@pytest.mark.parametrize(
    "data",
    [
        CROWD,
        json.dumps({"encryptedData": CROWD.hex()}).encode(),
        b"e30." + urlsafe_b64encode(CROWD).rstrip(b"=") + b".e30",
    ],
    ids=["plain", "in an envelope", "in a token"],
)
def test_no_container_hides_a_crowd_of_values(data: bytes) -> None:
    assert read_ddo(data) == {}


class CrowdedOrigin:
    """Every file there is a crowd of values."""

    async def open(self, *_: object) -> MemorySource:
        return MemorySource(CROWD, content_type="application/json")


@pytest.mark.gen_test
async def test_a_remote_document_of_more_values_than_any_has_is_not_parsed() -> None:
    documents = RemoteDocuments(CrowdedOrigin(), max_bytes=LIMIT, timeout_seconds=10)  # type: ignore[arg-type]
    stub = b'{"remote":{"type":"url","url":"https://origin.example/a","method":"GET"}}'
    with pytest.raises(DecryptError):
        await documents.document(ACCOUNT, stub, hashlib.sha256(CROWD).digest(), did="did:op:x")
    sealed_crowd = json.dumps({"encryptedData": encrypt(ACCOUNT.public_key, CROWD).hex()}).encode()
    with pytest.raises(DecryptError):
        ddo_of(sealed_crowd, ACCOUNT)


class FailingOrigin:
    """Fails each time, as `error` says, and counts."""

    def __init__(self, error: UpstreamError) -> None:
        self.error, self.asked = error, 0

    async def open(self, *_: object) -> MemorySource:
        self.asked += 1
        raise self.error


def stub_of(url: str) -> bytes:
    return json.dumps({"remote": {"type": "url", "url": url, "method": "GET"}}).encode()


@pytest.mark.gen_test
async def test_a_document_that_failed_is_not_fetched_again_at_once() -> None:
    origin = FailingOrigin(UpstreamRefused(detail="origin: status 404"))
    documents = RemoteDocuments(origin, max_bytes=LIMIT, timeout_seconds=10)  # type: ignore[arg-type]
    for _ in range(3):
        # Whichever asset refers to it.
        for did in ("did:op:x", "did:op:y"):
            with pytest.raises(UpstreamRefused) as caught:
                await documents.fetch(stub_of("https://origin.example/a"), did=did)
            assert caught.value.detail == "origin: status 404"
    assert origin.asked == 1
    with pytest.raises(UpstreamRefused):
        await documents.fetch(stub_of("https://origin.example/b"), did="did:op:x")
    assert origin.asked == 2


@pytest.mark.gen_test
async def test_a_client_that_asks_for_too_much_does_not_spoil_a_document_for_others() -> None:
    origin = FailingOrigin(OriginsBusy())
    documents = RemoteDocuments(origin, max_bytes=LIMIT, timeout_seconds=10)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(OriginsBusy):
            await documents.fetch(stub_of("https://origin.example/a"), did="did:op:x")
    assert origin.asked == 2


def test_dictionary_larger_than_any_document_needs_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 4096}]
    data = bytearray(lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE, filters=filters))
    data[1:5] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(DecryptError, match="Failed to decompress") as caught:
        opened(bytes(data), 1)
    assert "emory" in (caught.value.detail or "")


@given(st.binary(max_size=300), st.integers(0, 255), st.binary(max_size=40))
def test_nothing_but_a_decrypt_error_is_raised(data: bytes, flags: int, expected_hash: bytes) -> None:
    for content in (data, XZ[:24] + data, b"\x5d\x00\x00\x80\x00" + data, sealed(data)):
        with pytest.raises(DecryptError):
            opened(content, flags, expected_hash)


NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
OTHER_NFT = "0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1"
DID_4, DID_5 = did_for(NFT, 1), did_for(NFT, 1, prefix="did:ope:")
SUBJECT = {"chainId": 1, "nftAddress": NFT, "services": []}


def jwt(claims: object) -> str:
    return ".".join(
        urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"{}", json.dumps(claims).encode(), b"s")
    )


DOCUMENTS = {
    "4.1.0": {"id": DID_4, "version": "4.1.0", **SUBJECT},
    "lower case": {"id": DID_4, **SUBJECT, "nftAddress": NFT.lower()},
    "chain as text": {"id": DID_4, **SUBJECT, "chainId": "1"},
    "deprecated": {"id": DID_4, "version": "deprecated", "chainId": 1, "nftAddress": NFT},
    "5.0.0": {"id": DID_5, "version": "5.0.0", "credentialSubject": SUBJECT},
    "5.0.0 by ddo.js": {"version": "5.0.0", "credentialSubject": {"id": DID_5, **SUBJECT}},
    "credential of its own": {"id": "urn:uuid:1", "credentialSubject": {"id": DID_5, **SUBJECT}},
    "JWT": jwt({"iss": "did:web:x", "credentialSubject": {"id": DID_5, **SUBJECT}}),
    "JWT with vc": jwt({"vc": {"id": DID_5, "credentialSubject": SUBJECT}}),
    "under vc": {"vc": jwt({"id": DID_5, "credentialSubject": SUBJECT})},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_of_any_version_is_known_by_its_nft(document: object) -> None:
    data = (document if isinstance(document, str) else json.dumps(document)).encode()
    assert is_document_of(data, NFT, 1)
    assert not is_document_of(data, OTHER_NFT, 1)
    assert not is_document_of(data, NFT, 137)
    assert not is_remote_stub(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"id": "%s", "chainId": 1, "nftAddress": "%s", "x": NaN}',
        b'{"id": "%s", "chainId": 1, "nftAddress": "%s", "x": "\\ud83d"}',
    ],
    ids=["NaN", "lone surrogate"],
)
def test_what_python_and_javascript_read_is_read(data: bytes) -> None:
    assert is_document_of(data % (DID_4.encode(), NFT.encode()), NFT, 1)


NO_DOCUMENTS = {
    "file list": {
        "datatokenAddress": OTHER_NFT,
        "nftAddress": NFT,
        "files": [{"type": "url", "url": "https://secret"}],
    },
    "unbound file list": [{"type": "url", "url": "https://secret"}],
    "another DID": {"id": did_for(OTHER_NFT, 1), **SUBJECT},
    "another NFT": {"id": DID_4, **SUBJECT, "nftAddress": OTHER_NFT},
    "another chain": {"id": DID_4, **SUBJECT, "chainId": 137},
    "no id": SUBJECT,
    "JWT with text under vc": jwt({"vc": "hello", "id": DID_5, "credentialSubject": SUBJECT}),
    "text": "hello",
    "number": 5,
    "deep": None,
}


@pytest.mark.parametrize("content", NO_DOCUMENTS.values(), ids=NO_DOCUMENTS)
def test_what_is_no_document_of_the_nft_is_told_like_a_wrong_hash(content: object) -> None:
    """Else the answer would confirm a guess of an encrypted file list."""
    data = b"[" * 100_000 if content is None else json.dumps(content).encode()
    told = []
    for its_hash in (hashlib.sha256(data).digest(), bytes(32)):
        with pytest.raises(DecryptError) as caught:
            open_document(
                ACCOUNT, data, 0, its_hash, max_bytes=1 << 20, is_answer=lambda clear: is_document_of(clear, NFT, 1)
            )
        told.append((str(caught.value), caught.value.http_status, caught.value.body()))
    assert told[0] == told[1]
    assert not is_remote_stub(data)


@pytest.mark.parametrize(
    "kind", [b"[" * 1000 + b"]" * 1000, b"1.0", b"true", b"null"], ids=["deep", "1.0", "true", "null"]
)
def test_a_chain_that_is_neither_text_nor_integer_is_another_one(kind: bytes) -> None:
    text = json.dumps({"id": DID_4, **SUBJECT, "chainId": "?"}).encode().replace(b'"?"', kind)
    with recursion_of_a_server():
        assert not is_document_of(text, NFT, 1)


def envelope(token: str) -> dict[str, str]:
    """As the marketplace of Ocean Enterprise stores a credential."""
    return {"encryptedData": "0x" + json.dumps(token).encode().hex()}


CLAIMS = {"id": DID_5, "credentialSubject": SUBJECT}


@pytest.mark.parametrize(
    "content",
    [jwt(CLAIMS), jwt({"vc": CLAIMS}), json.dumps(jwt(CLAIMS)), {"vc": jwt(CLAIMS)}, envelope(jwt(CLAIMS))],
    ids=["JWT", "claims under vc", "JSON text", "JWT under vc", "envelope"],
)
def test_a_credential_becomes_a_ddo_with_its_proof(content: object) -> None:
    data = (content if isinstance(content, str) else json.dumps(content)).encode()
    assert is_credential(data)
    assert is_document_of(data, NFT, 1)
    assert read_ddo(data) == {**CLAIMS, "proof": {"header": {}, "signature": "cw"}} == json.loads(plain_ddo(data))


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(CLAIMS).encode(),
        b"a.b.c",
        b"..",
        json.dumps(envelope("a.b")).encode(),
        b'{"encryptedData": 1}',
        b'{"encryptedData": "0xzz"}',
        b'{"encryptedData": "0x' + json.dumps(CLAIMS).encode().hex().encode() + b'"}',
        b'{"vc": {"vc": {}}}',
        b"\xff",
    ],
)
def test_everything_else_is_no_credential_and_stays_as_it_is(data: bytes) -> None:
    assert not is_credential(data)
    assert plain_ddo(data) == data


def test_an_envelope_holds_hex() -> None:
    assert (
        encrypted_data_of(b'{"encryptedData":"0x00ff"}')
        == b"\x00\xff"
        == encrypted_data_of(b'{"encryptedData":"00ff"}')
    )
    for data in (b"", b"[]", b'{"encryptedData":null}', b'{"encryptedData":"0x0"}', b'"encryptedData"'):
        assert encrypted_data_of(data) is None
    # bytes.fromhex would skip the space and give other bytes than were stored.
    assert encrypted_data_of(b'{"encryptedData":"0x00 ff"}') is None


def test_a_remote_stub_is_no_file_list() -> None:
    stub = {"remote": {"type": "ipfs", "hash": "Qm"}}
    assert is_remote_stub(json.dumps(stub).encode())
    assert not is_remote_stub(json.dumps({**stub, "files": []}).encode())
    assert not is_remote_stub(json.dumps({"remote": {"type": "x" * 70_000}}).encode())
    assert not is_remote_stub(json.dumps({"remote": []}).encode())
