"""Secrets that got into a record by way of a library or an exception do not get into the log."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UpstreamUnreachable
from provider.observability.logs import access_log, set_up_logging
from provider.observability.redaction import REDACTED, redact_foreign, redact_own

URL = "https://user:pw@origin.example/hidden/file.csv?sig=abc"
KEY = "0x" + "c0ffee42" * 8
SIGNATURE = "0x" + "ab" * 65
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhZGRyZXNzIjoiMHgxIn0.c2lnbmF0dXJl"
SECRETS = (URL, SIGNATURE, TOKEN)
MARKS = ("origin.example", "hidden", "pw@", "c0ffee42", "ab" * 65, "eyJ", "c2lnbmF0dXJl")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(monkeypatch: pytest.MonkeyPatch, style: str) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
    set_up_logging("DEBUG", style)
    return raw


def shows_nothing(raw: io.BytesIO) -> bool:
    text = raw.getvalue().decode()
    assert REDACTED in text
    return not any(mark in text for mark in MARKS)


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("secret", [*SECRETS, KEY])
def test_messages_and_arguments_of_libraries_are_redacted(
    monkeypatch: pytest.MonkeyPatch, style: str, secret: str
) -> None:
    raw = logged(monkeypatch, style)
    logging.getLogger("aiohttp.client").warning("cannot read %s", secret)
    logging.getLogger("urllib3").debug(f"{secret}: retry")
    assert shows_nothing(raw)


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("secret", SECRETS)
def test_our_records_are_redacted_in_message_fields_and_traceback(
    monkeypatch: pytest.MonkeyPatch, style: str, secret: str
) -> None:
    raw = logged(monkeypatch, style)
    log = logging.getLogger("provider.access")
    try:
        try:
            raise ValueError(f"bad URL {secret}")
        except ValueError as cause:
            raise UpstreamUnreachable(detail=f"origin: {secret}") from cause
    except UpstreamUnreachable as error:
        log.exception(
            "unforeseen %s", error.detail, extra={"fields": {"detail": error.detail, "more": [{"x": secret}]}}
        )
    assert shows_nothing(raw)
    assert "Traceback" in raw.getvalue().decode()


def test_a_key_in_an_exception_of_ours_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = logged(monkeypatch, "json")
    try:
        int(KEY + "z", 16)
    except ValueError:
        logging.getLogger("provider.server").exception("failed")
    assert shows_nothing(raw)


def test_details_in_access_lines_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = logged(monkeypatch, "json")
    write = access_log("json")
    assert write is not None
    write({"request_id": "a1", "detail": f"origin: {URL} {TOKEN}"})
    assert shows_nothing(raw)
    assert json.loads(raw.getvalue())["request_id"] == "a1"


def test_query_strings_and_credentials_of_libraries_are_redacted() -> None:
    told = redact_foreign("GET /path?nonce=1&signature=zz9 with Bearer abcdefgh.ijkl and basic dXNlcjpwdw==")
    assert told == f"GET /path{REDACTED} with {REDACTED} and {REDACTED}"


def test_what_operators_need_stays() -> None:
    tx_id = "0x" + "12" * 32
    plain = f"chain 8996 endpoint 1 ejected for 2 s: timeout; order {tx_id} of did:op:{'ab' * 32}"
    assert redact_own(plain) == plain


def test_arguments_that_do_not_fit_fail_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = logged(monkeypatch, "json")
    logging.getLogger("library").warning("%d of %s", "many")  # noqa: PLE1206 - what is tested
    assert json.loads(raw.getvalue())["message"] == "%d of %s"


@given(st.text(), st.text(alphabet="0123456789abcdefABCDEF", min_size=65, max_size=200), st.text())
def test_no_long_hex_passes_whatever_stands_around_it(before: str, digits: str, after: str) -> None:
    assert digits not in redact_own(f"{before} {digits} {after}")
    assert digits not in redact_foreign(f"{before} {digits} {after}")
