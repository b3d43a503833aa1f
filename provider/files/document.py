"""Documents (DDOs) from the chain: decrypts, decompresses and verifies them (pure).

Bytes, flags and hash of a Metadata event in, the clear document out (`provider-api.md` section 5.3, steps 7-9).
"""

import hashlib
import json
import lzma
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from provider.assets.did import matches
from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt
from provider.errors import DecryptError
from provider.wire.json import MAX_VALUES, is_crowded
from provider.wire.text import hex_bytes

COMPRESSED = 1
_ENCRYPTED = 2

# `xz -9` needs at most 65 MiB to decompress; ocean.py's default preset needs 9. The format allows dictionaries of up to
# 4 GiB, which no document needs.
_MAX_LZMA_MEMORY_BYTES = 96 * 1024 * 1024
# A file object and a few header fields.
_MAX_STUB_BYTES = 64 * 1024
_BRACKET = re.compile(r"[\[\]{}]")
# A DDO has a dozen levels, and about a hundred objects and lists.
_MAX_DEPTH = 200
_MAX_BRACKETS = 100_000


def _is_anything(_: bytes) -> bool:
    return True


def open_document(
    account: Account,
    data: bytes,
    flags: int,
    expected_hash: bytes | None,
    *,
    max_bytes: int,
    is_answer: Callable[[bytes], bool] = _is_anything,
) -> bytes:
    """Return the clear document. Only bits 0 (LZMA) and 1 (ECIES) of `flags` count.

    Args:
        account: key to decrypt with.
        data: bytes of the Metadata event.
        flags: flags of the Metadata event.
        expected_hash: sha256 of the clear bytes; for a document that is neither compressed nor encrypted, that of
            their hex text will do. None: `is_answer` alone decides. A stub is not compared, since the hash of its
            event is that of the document it refers to.
        max_bytes: limit for the decompressed document.
        is_answer: bytes that it rejects are refused like bytes with another hash. Whoever guesses the text of a file
            list must not be able to tell a right guess from a wrong one.

    Raises:
        DecryptError: with a documented text: `Failed to decrypt.`, `Failed to decompress`, `Checksum doesn't match.`
    """
    if flags & _ENCRYPTED:
        try:
            data = decrypt(account, data)
        except ValueError as error:
            raise DecryptError("Failed to decrypt.", detail=str(error)) from None
    if flags & COMPRESSED:
        data = _decompress(data, max_bytes)
    if is_crowded(data):
        raise DecryptError("Checksum doesn't match.", detail=f"more than {MAX_VALUES} values are no document")
    if not is_answer(data):
        raise DecryptError("Checksum doesn't match.", detail="the bytes are not a document of the named data NFT")
    if expected_hash is not None and not _has_hash(data, flags, expected_hash) and not is_remote_stub(data):
        raise DecryptError("Checksum doesn't match.")
    return data


def _has_hash(data: bytes, flags: int, expected: bytes) -> bool:
    if hashlib.sha256(data).digest() == expected:
        return True
    # `createAsset` of ocean.js hashes the hex text of a document in the clear. ocean-node takes both.
    is_in_the_clear = not flags & (COMPRESSED | _ENCRYPTED)
    return is_in_the_clear and hashlib.sha256(b"0x" + data.hex().encode()).digest() == expected


def is_document_of(data: bytes, data_nft: str, chain_id: int) -> bool:
    """True for a DDO that names this data NFT (checksummed) on this chain and has its DID.

    Reads all that `read_ddo` does. Readers of the document check the credential's signature.
    """
    ddo = read_ddo(data)
    body = ddo.get("credentialSubject")
    body = body if isinstance(body, Mapping) else ddo
    did, named_nft, named_chain = ddo.get("id"), body.get("nftAddress"), body.get("chainId")
    if not (isinstance(did, str) and did.startswith("did:op")):
        # ddo.js writes the DID of a DDO 5 into its subject. The credential may have an identifier of its own.
        did = body.get("id")
    return (
        isinstance(did, str)
        and isinstance(named_nft, str)
        and named_nft.lower() == data_nft.lower()
        and type(named_chain) in (str, int)
        and str(named_chain) == str(chain_id)
        and matches(did, data_nft, chain_id)
    )


def is_remote_stub(data: bytes) -> bool:
    """True for the stub `{"remote": {…}}` of Ocean Enterprise, which refers to a document stored elsewhere.

    A stub names no NFT; only the event that contains it links it to one. A file list never has this form.
    """
    return remote_of(data) is not None


def remote_of(data: bytes) -> Mapping[str, object] | None:
    """The file object in a stub; None if the bytes are not one."""
    # Most documents are none, and need not be parsed to see it.
    if len(data) > _MAX_STUB_BYTES or b'"remote"' not in data:
        return None
    stub = _json(data.decode("utf-8", "replace"))
    remote = stub.get("remote") if isinstance(stub, Mapping) and stub.keys() == {"remote"} else None
    return remote if isinstance(remote, Mapping) else None


def is_credential(data: bytes) -> bool:
    """True for a credential as JWT, also within an envelope. No other secret of this Provider has such a form."""
    return _json_web_token(data) is not None


def encrypted_data_of(content: bytes) -> bytes | None:
    """The bytes in an envelope `{"encryptedData": "0x…"}`; None if the content is not one."""
    if b'"encryptedData"' not in content:
        return None
    envelope = _json(content.decode("utf-8", "replace"))
    text = envelope.get("encryptedData") if isinstance(envelope, Mapping) else None
    return hex_bytes(text.removeprefix("0x")) if isinstance(text, str) else None


def read_ddo(data: bytes) -> Mapping[str, object]:
    """The DDO in a document: DDO 4.x and the short `deprecated` form, DDO 5, and a verifiable credential as JWT.

    A JWT may stand by itself, as a JSON text, under `vc`, or in an envelope. Its header and signature become the
    `proof` of the DDO, as in ocean-node. Empty for anything else.
    """
    token = _json_web_token(data)
    if token is not None:
        claims = token.claims.get("vc", token.claims)
        if not isinstance(claims, Mapping):
            return {}
        return {**claims, "proof": {"signature": token.signature, "header": token.header}}
    data = encrypted_data_of(data) or data
    content = _json(data.decode("utf-8", "replace").strip())
    if isinstance(content, Mapping):
        content = content.get("vc", content)
    return content if isinstance(content, Mapping) else {}


def plain_ddo(document: bytes) -> bytes:
    """The document itself, unless it holds a credential as JWT: then the DDO in it, as JSON."""
    if _json_web_token(document) is None:
        return document
    try:
        return orjson.dumps(read_ddo(document))
    except TypeError:
        return document


@dataclass(frozen=True, slots=True)
class _Token:
    """A JWT in compact form (RFC 7519)."""

    header: object
    claims: Mapping[str, object]
    signature: str


def _json_web_token(data: bytes) -> _Token | None:
    data = encrypted_data_of(data) or data
    text = data.decode("utf-8", "replace").strip()
    content = _json(text)
    if isinstance(content, Mapping):
        content = content.get("vc")
    elif content is None:
        content = text
    parts = content.split(".") if isinstance(content, str) and content.isascii() else []
    if len(parts) != 3:
        return None
    claims = _decoded(parts[1])
    return _Token(_decoded(parts[0]), claims, parts[2]) if isinstance(claims, Mapping) else None


def _decoded(part: str) -> object:
    """The JSON in a part of a JWT; None if there is none."""
    try:
        return _json(urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("utf-8", "replace"))
    except ValueError:
        return None


def _json(text: str) -> object:
    """Parse JSON as Python and JavaScript do: indexers accept lone surrogates, and Aquarius NaN.

    None if it is invalid, or has too many values.
    """
    if text.count("[") + text.count("{") + text.count(",") > MAX_VALUES:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    # The standard library's parser recurses, and with a raised recursion limit it could overflow the stack.
    if not _is_shallow(text):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_shallow(text: str) -> bool:
    depth = 0
    for count, bracket in enumerate(_BRACKET.finditer(text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _MAX_DEPTH or count > _MAX_BRACKETS:
            return False
    return True


def _decompress(data: bytes, max_bytes: int) -> bytes:
    """Decompress exactly one `.xz` or legacy `.lzma` stream."""
    decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=_MAX_LZMA_MEMORY_BYTES)
    try:
        # One byte more than allowed, to tell a document of exactly the limit from a longer one.
        document = decompressor.decompress(data, max_length=max_bytes + 1)
    except lzma.LZMAError as error:
        raise DecryptError("Failed to decompress", detail=f"not LZMA: {error}") from None
    if len(document) > max_bytes:
        raise DecryptError("Failed to decompress", detail=f"more than {max_bytes} bytes")
    if not decompressor.eof:
        raise DecryptError("Failed to decompress", detail="the stream is cut off")
    if decompressor.unused_data:
        raise DecryptError("Failed to decompress", detail="bytes after the end of the stream")
    return document
