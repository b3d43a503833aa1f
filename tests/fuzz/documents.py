"""Targets: what publishers and consumers write into requests and documents."""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from provider.assets.ddo import NO_TIMEOUT, parse_ddo
from provider.assets.shape import faults_of
from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt, encrypt
from provider.errors import (
    AssetMalformed,
    BodyNotObject,
    ContractCallFailed,
    FileObjectInvalid,
    ProviderError,
    UnsafeAddress,
    UserdataInvalid,
    ValidationFailed,
)
from provider.files.contract_abi import parse_function
from provider.files.document import (
    encrypted_data_of,
    is_credential,
    is_document_of,
    is_remote_stub,
    plain_ddo,
    read_ddo,
)
from provider.files.file_object import GraphqlFile, SourceFile, UrlFile, parse_file_object
from provider.files.resolve import resolve, resolve_graphql
from provider.handlers.assets.params import ValidateRequest
from provider.handlers.json_body import member_text
from provider.handlers.request_data import KNOWN_FIELDS, MAX_QUERY_FIELDS, parse_query, request_data
from provider.upstream.ftp_url import parse_ftp_url
from provider.upstream.request_head import encode_request
from provider.upstream.urls import join_location, parse_url
from provider.upstream.wish import NO_WISH
from tests.fuzz.model import Target, as_json, as_text, lines

HOST = re.compile(r"[a-z0-9_.:-]+")
TARGET = re.compile(r"/[\x21-\x7e]*")
ACCOUNT = Account.from_hex("01" * 32)


def bodies(data: bytes) -> None:
    """A request's input is an object of text names, or a documented refusal; queries are read as the standard says."""
    query, kind, body = lines(data, 3)
    text = query.decode("latin-1")
    try:
        fields = parse_query(text)
    except ValidationFailed:
        assert text.count("&") >= MAX_QUERY_FIELDS
    else:
        expected: dict[str, str] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            expected.setdefault(name, value)
        assert fields == expected
    with contextlib.suppress(ProviderError):
        given = request_data(text, kind.decode("latin-1"), body)
        assert all(isinstance(name, str) for name in given)
    with contextlib.suppress(BodyNotObject):
        read = request_data("", "application/json", body)
        if read:
            # Digits of any length are exact; fields that no route reads are dropped.
            sent = json.loads(body)
            assert read == {name: value for name, value in sent.items() if name in KNOWN_FIELDS}


def ddo(data: bytes) -> None:
    """An asset or `AssetMalformed`; the text that is kept says the same."""
    value = as_json(data)
    try:
        asset = parse_ddo(value, keep_document=True)
    except AssetMalformed:
        return
    for service in asset.services:
        assert service.timeout_seconds >= 0 or service.timeout_seconds == NO_TIMEOUT
        assert asset.service(service.id).id == service.id
        assert service.files not in repr(service) or len(service.files) < 8
    assert asset.document is not None
    assert parse_ddo(orjson.loads(asset.document)) == asset


def credentials(data: bytes) -> None:
    """Whatever is stored elsewhere: bytes in, the same bytes or a JSON object out; a stub is never a credential."""
    ddo = plain_ddo(data)
    assert ddo == data or (is_credential(data) and isinstance(json.loads(ddo), dict))
    assert isinstance(read_ddo(data), Mapping)
    assert not (is_remote_stub(data) and is_credential(data))
    sealed = encrypted_data_of(data)
    assert sealed is None or json.loads(data)["encryptedData"].lower().removeprefix("0x") == sealed.hex()
    assert not is_document_of(data, "0x" + "00" * 20, 1) or is_credential(data) or b"did:op" in data


def ddo_checks(data: bytes) -> None:
    """A DDO to check is a documented refusal, or has a hash of its very text, and faults that name fields."""
    try:
        request = ValidateRequest.parse(data, None, {})
    except ProviderError:
        return
    for field, messages in faults_of(request.ddo).items():
        assert messages
        assert all(field in message for message in messages)
    if request.signed is not None:
        text = member_text(data.decode(), "ddo")
        assert hashlib.sha256(text.encode()).digest() == request.document_hash
        assert json.loads(text) == request.ddo


def file_objects(data: bytes) -> None:
    """A file of a known kind or `FileObjectInvalid`; what is asked of an origin is one request."""
    try:
        file = parse_file_object(as_json(data))
    except FileObjectInvalid:
        return
    for secret in (getattr(file, "url", ""), getattr(file, "secret_access_key", "")):
        assert len(secret) < 8 or secret not in repr(file)
    if isinstance(file, SourceFile):
        names = file.path.encode().split(b"/")
        assert not {b"", b".", b".."} & set(names)
        assert max(map(len, names)) < 256
        assert len(file.path.encode()) < 4096
        assert b"\0" not in b"".join(names)
        assert file.seller is None
        return
    with contextlib.suppress(FileObjectInvalid, UnsafeAddress):
        if isinstance(file, UrlFile):
            request = resolve(file, file.userdata or {}, NO_WISH)
        elif isinstance(file, GraphqlFile):
            request = resolve_graphql(file, file.userdata or {}, NO_WISH)
        else:
            return
        head, _, body = encode_request(request, parse_url(request.url)).partition(b"\r\n\r\n")
        assert body == (request.body or b"")
        first, *fields = head.split(b"\r\n")
        assert re.fullmatch(rb"(GET|POST) [\x21-\x7e]+ HTTP/1\.1", first)
        for field in fields:
            assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*", field)
        names = [field.partition(b":")[0].lower() for field in fields]
        assert names.count(b"host") == 1
        assert names.count(b"content-length") <= 1
        assert b"transfer-encoding" not in names


def urls(data: bytes) -> None:
    """A URL leads to one host and has one spelling; anything else is `UnsafeAddress`."""
    text, location = (as_text(part) for part in lines(data, 2))
    with contextlib.suppress(UnsafeAddress):
        ftp = parse_ftp_url(text)
        assert HOST.fullmatch(ftp.host)
        assert 0 < ftp.port < 65536
        assert not {"\r", "\n", "\0"} & {*ftp.path, *ftp.user, *ftp.password}
    try:
        target = parse_url(text)
    except UnsafeAddress:
        return
    assert HOST.fullmatch(target.host)
    assert TARGET.fullmatch(target.request_target)
    again = parse_url(f"{target.scheme}://{target.host_field}{target.request_target}")
    assert again.origin == target.origin
    assert again.request_target == target.request_target
    with contextlib.suppress(UnsafeAddress):
        parse_url(join_location(target, location.encode("utf-8", "surrogateescape").decode("latin-1")))


def contract_abi(data: bytes) -> None:
    """An ABI, arguments and a result of strangers: documented refusals, and JSON out."""
    head, result = lines(data, 2)
    value: Any = as_json(head)
    raw = value if isinstance(value, dict) else {}
    try:
        function = parse_function(raw.get("abi"))
    except FileObjectInvalid:
        return
    userdata = raw.get("userdata")
    with contextlib.suppress(FileObjectInvalid, UserdataInvalid):
        coded = function.encode(userdata if isinstance(userdata, dict) else {})
        assert len(coded) >= 4
        assert len(coded) % 32 == 4
    with contextlib.suppress(ContractCallFailed):
        json.dumps(function.decode(result))


def envelope(data: bytes) -> None:
    """A blob that was not sealed for this key raises `ValueError`. A sealed one opens to the original bytes."""
    with contextlib.suppress(ValueError):
        decrypt(ACCOUNT, data)
    blob = encrypt(ACCOUNT.public_key, data)
    assert decrypt(ACCOUNT, blob) == data
    spoiled = bytearray(blob)
    spoiled[len(data) % len(blob)] ^= 1
    try:
        decrypt(ACCOUNT, bytes(spoiled))
    except ValueError:
        return
    raise AssertionError("a spoiled envelope was opened")


DOCUMENTS = (
    Target("bodies", bodies),
    Target("ddo", ddo, max_bytes=8192),
    Target("credentials", credentials),
    Target("ddo_checks", ddo_checks, max_bytes=8192),
    Target("file_objects", file_objects),
    Target("urls", urls, max_bytes=2048),
    Target("contract_abi", contract_abi),
    Target("envelope", envelope, max_bytes=512),
)
