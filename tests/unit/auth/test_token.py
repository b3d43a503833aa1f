"""AuthTokens against PyJWT; what is not ours, expired or another's is refused."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.token import capped_expiry, create_token, decode_token, token_id, token_key
from provider.crypto.accounts import Account
from provider.errors import TokenExpired, TokenRefused

UNIVERSAL = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
KEY = token_key(UNIVERSAL)
EXPIRES_AT = 1893456000
NOW = EXPIRES_AT - 100.0
TOKEN = create_token(KEY, address=ADDRESS, expires_at=EXPIRES_AT)

# provider-api.md section 18, made with the original's key scheme: kept as documentation of the claims' form.
ORIGINAL = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4OTM0NTYwMDAsImFkZHJlc3MiOiIweEE3OGRlYjJGYTc5NDYzOTQ1QzI0Nzk5MTA3"
    "NUUyYTBlOThCYTdBMDkifQ.UQDB3EoG-OwOHPj8DFzmAZzdEPfZPzz8CSNdRfRcXdI"
)


def test_header_and_claims_are_those_of_the_original() -> None:
    assert TOKEN.rpartition(".")[0] == ORIGINAL.rpartition(".")[0]


def test_original_key_would_give_the_original_token() -> None:
    key = b"0xfd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
    assert create_token(key, address=ADDRESS, expires_at=EXPIRES_AT) == ORIGINAL


def test_token_made_with_the_original_key_is_refused() -> None:
    with pytest.raises(TokenRefused):
        decode_token(KEY, ORIGINAL, address=ADDRESS, now=NOW)


def test_token_is_read_by_an_independent_library() -> None:
    claims = jwt.decode(TOKEN, KEY, algorithms=["HS256"], options={"verify_exp": False})
    assert list(claims.items()) == [("exp", EXPIRES_AT), ("address", ADDRESS)]
    assert jwt.get_unverified_header(TOKEN) == {"typ": "JWT", "alg": "HS256"}


@pytest.mark.parametrize("caller", [ADDRESS, ADDRESS.lower()])
@pytest.mark.parametrize("claimed", [ADDRESS, ADDRESS.lower()])
def test_token_of_the_caller_is_accepted_in_any_case(claimed: str, caller: str) -> None:
    text = create_token(KEY, address=claimed, expires_at=EXPIRES_AT)
    token = decode_token(KEY, text, address=caller, now=NOW)
    assert (token.address, token.expires_at, token.token_id) == (ADDRESS, EXPIRES_AT, token_id(text))
    assert token.token_id not in repr(token)


def test_same_arguments_give_the_identical_token() -> None:
    assert create_token(KEY, address=ADDRESS, expires_at=EXPIRES_AT) == TOKEN


@pytest.mark.parametrize("now", [EXPIRES_AT, EXPIRES_AT + 0.5, EXPIRES_AT + 10**9])
def test_token_is_expired_from_its_expiry_on(now: float) -> None:
    assert decode_token(KEY, TOKEN, address=ADDRESS, now=EXPIRES_AT - 0.001).address == ADDRESS
    with pytest.raises(TokenExpired, match=r"^Token is expired\.$"):
        decode_token(KEY, TOKEN, address=ADDRESS, now=now)


def test_token_of_another_address_is_refused_before_its_expiry_is_told() -> None:
    with pytest.raises(TokenRefused, match=r"^Token is invalid\.$") as caught:
        decode_token(KEY, TOKEN, address=UNIVERSAL.address, now=EXPIRES_AT + 1)
    assert type(caught.value) is TokenRefused


def signed(header: object, claims: object, key: bytes = KEY) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()

    text = f"{part(header)}.{part(claims)}"
    tag = base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{text}.{tag}"


GOOD_HEADER = {"typ": "JWT", "alg": "HS256"}
GOOD_CLAIMS = {"exp": EXPIRES_AT, "address": ADDRESS}


def test_the_forging_helper_makes_our_own_token() -> None:
    assert signed(GOOD_HEADER, GOOD_CLAIMS) == TOKEN


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        TOKEN[:-1],
        TOKEN + "=",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.rpartition(".")[0],
        TOKEN.rpartition(".")[0] + ".",
        "x" + TOKEN,
        "a" * 1_000_000,
        TOKEN.replace(".", "٫"),
        signed({"typ": "JWT", "alg": "none"}, GOOD_CLAIMS),
        signed({"alg": "HS256", "typ": "JWT"}, GOOD_CLAIMS),
        signed(GOOD_HEADER, GOOD_CLAIMS, key=b"another key"),
        signed(GOOD_HEADER, GOOD_CLAIMS, key=b""),
        signed(GOOD_HEADER, []),
        signed(GOOD_HEADER, {"address": ADDRESS}),
        signed(GOOD_HEADER, {"exp": EXPIRES_AT}),
        signed(GOOD_HEADER, {"exp": str(EXPIRES_AT), "address": ADDRESS}),
        signed(GOOD_HEADER, {"exp": True, "address": ADDRESS}),
        signed(GOOD_HEADER, {"exp": 1e12, "address": ADDRESS}),
        signed(GOOD_HEADER, {"exp": 10**40, "address": ADDRESS}),
        signed(GOOD_HEADER, {"exp": EXPIRES_AT, "address": None}),
        signed(GOOD_HEADER, {"exp": EXPIRES_AT, "address": ADDRESS[2:]}),
        signed({"typ": "JWT", "alg": "HS512"}, GOOD_CLAIMS),
    ],
    ids=lambda text: ascii(text[-12:]),
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused, match=r"^Token is invalid\.$"):
        decode_token(KEY, token, address=ADDRESS, now=NOW)


def test_twin_with_other_spare_bits_is_refused() -> None:
    """Else a revoked token would live on under another id."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(TOKEN[-1])
    twin = TOKEN[:-1] + alphabet[last ^ 1]
    raw = [base64.urlsafe_b64decode(text.rpartition(".")[2] + "=") for text in (TOKEN, twin)]
    assert raw[0] == raw[1]
    with pytest.raises(TokenRefused):
        decode_token(KEY, twin, address=ADDRESS, now=NOW)


@pytest.mark.parametrize("address", ["", "nobody", ADDRESS[2:]])
def test_malformed_caller_is_refused(address: str) -> None:
    with pytest.raises(TokenRefused):
        decode_token(KEY, TOKEN, address=address, now=NOW)


@given(st.text(max_size=400), st.text(max_size=50))
def test_decode_raises_nothing_else(token: str, address: str) -> None:
    with pytest.raises(TokenRefused):
        decode_token(KEY, token, address=address, now=NOW)


@given(st.binary(max_size=60))
def test_signed_nonsense_is_refused(payload: bytes) -> None:
    """Nobody but us can sign, but a defect of ours must not become an error of another kind."""
    header = TOKEN.partition(".")[0]
    for text in (base64.urlsafe_b64encode(payload).rstrip(b"=").decode(), payload.hex(), "a", ".", "!"):
        signing_input = f"{header}.{text}"
        tag = hmac.digest(KEY, signing_input.encode(), hashlib.sha256)
        token = f"{signing_input}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"
        with pytest.raises(TokenRefused):
            decode_token(KEY, token, address=ADDRESS, now=NOW)


@pytest.mark.parametrize(
    ("requested_at", "expected"), [(1_000_050, 1_000_050), (1_000_100, 1_000_100), (2_000_000, 1_000_100)]
)
def test_lifetime_is_capped(requested_at: int, expected: int) -> None:
    assert capped_expiry(requested_at, now=1_000_000.7, max_lifetime_seconds=100) == expected


def test_key_of_tokens_is_not_the_key_of_the_account() -> None:
    assert KEY.hex() != "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
    assert len(KEY) == 32
