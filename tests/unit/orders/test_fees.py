"""Quotes and their signatures, against the vectors of provider-api.md section 18 and against eth_account."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_keys import keys
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.chain.events import ProviderFee
from provider.crypto.accounts import Account
from provider.orders.fees import fee_digest, fee_signer, fee_signer_matches, packed_fee_digest, quote_fee, time_fee

PROVIDER_KEY = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
PROVIDER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
OTHER_KEY = "5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
TOKEN = "0x00000000000000000000000000000000000000AA"
DATATOKEN = "0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1"
AMOUNT = 29983333333333334000
VALID_UNTIL = 1700003600
DATA = (
    b'{"environment":"env1","timestamp":1700000000.123456,"dt":"0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1","id":"c0"}'
)
INNER = "595a7fd1422c05b337c2cd468e712637293d2a5af8a1e0b3517ae449832f07e2"
DIGEST = "de1bf5c761fd26fac3116633d069d13aabc2b5337c3e9f800c251cc39f5ebfae"
R = "5c73996c1fa11223abd2ad88c5b7acc41019a043344e0e50f6944ed8eab35027"
S = "423627cc7f63344fe19651cb0066d51f442642d3c19062129ecbef80cba36ff6"

account = Account.from_hex(PROVIDER_KEY)
uint256 = st.integers(0, 2**256 - 1)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


def vector_quote(**changes: object) -> dict[str, object]:
    arguments: dict[str, object] = {
        "token": TOKEN,
        "amount": AMOUNT,
        "valid_until": VALID_UNTIL,
        "datatoken": DATATOKEN,
        "service_id": "c0",
        "environment": "env1",
        "now": 1700000000.123456,
        **changes,
    }
    return dict(quote_fee(account, **arguments))  # type: ignore[arg-type]


def event_of(quote: dict[str, object]) -> ProviderFee:
    """The event that the contract emits for a quote."""
    return ProviderFee(
        emitter=DATATOKEN,
        provider=str(quote["providerFeeAddress"]),
        token=str(quote["providerFeeToken"]),
        amount=int(str(quote["providerFeeAmount"])),
        provider_data=bytes.fromhex(str(quote["providerData"])[2:]),
        v=int(str(quote["v"])),
        r=bytes.fromhex(str(quote["r"])[2:]),
        s=bytes.fromhex(str(quote["s"])[2:]),
        valid_until=int(str(quote["validUntil"])),
    )


def test_the_digests_of_the_vector() -> None:
    assert packed_fee_digest(DATA, PROVIDER, TOKEN, AMOUNT, VALID_UNTIL).hex() == INNER
    assert fee_digest(DATA, PROVIDER, TOKEN, AMOUNT, VALID_UNTIL).hex() == DIGEST


def test_the_quote_of_the_vector_has_the_wire_shape_exactly() -> None:
    quote = vector_quote()
    assert quote == {
        "providerFeeAddress": PROVIDER,
        "providerFeeToken": TOKEN,
        "providerFeeAmount": "29983333333333334000",
        "providerData": "0x" + DATA.hex(),
        "v": 28,
        "r": "0x" + R,
        "s": "0x" + S,
        "validUntil": VALID_UNTIL,
    }
    assert [type(quote[name]) for name in ("v", "validUntil", "providerFeeAmount")] == [int, int, str]


def test_a_download_quote() -> None:
    quote = vector_quote(amount=0, valid_until=0, environment=None, now=1700000000)
    data = bytes.fromhex(str(quote["providerData"])[2:]).decode()
    assert data == f'{{"environment":null,"timestamp":1700000000.0,"dt":"{DATATOKEN}","id":"c0"}}'
    assert (quote["providerFeeAmount"], quote["validUntil"]) == ("0", 0)


def test_the_token_is_quoted_as_written() -> None:
    assert vector_quote(token=TOKEN.lower())["providerFeeToken"] == TOKEN.lower()
    assert vector_quote(token=TOKEN.lower())["r"] == "0x" + R


@settings(max_examples=50)
@given(st.binary(max_size=200), addresses, addresses, uint256, uint256)
def test_digests_agree_with_eth_abi_and_eth_account(
    data: bytes, provider: str, token: str, amount: int, valid_until: int
) -> None:
    types = ["bytes", "address", "address", "uint256", "uint256"]
    inner = keccak(encode_packed(types, [data, provider, token, amount, valid_until]))
    assert packed_fee_digest(data, provider, token, amount, valid_until) == inner
    signable = encode_defunct(primitive=inner)
    whole = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert fee_digest(data, provider, token, amount, valid_until) == whole


@settings(max_examples=25)
@given(uint256, uint256, st.text(max_size=30), st.none() | st.text(max_size=30), st.floats(0, 2**33))
def test_quotes_are_recovered_by_eth_keys_and_by_us(
    amount: int, valid_until: int, service_id: str, environment: str | None, now: float
) -> None:
    quote = vector_quote(
        amount=amount, valid_until=valid_until, service_id=service_id, environment=environment, now=now
    )
    event = event_of(quote)
    digest = fee_digest(event.provider_data, event.provider, event.token, amount, valid_until)
    signature = keys.Signature(event.r + event.s + bytes([event.v - 27]))
    assert signature.recover_public_key_from_msg_hash(digest).to_checksum_address() == PROVIDER
    assert fee_signer(event) == PROVIDER
    assert json.loads(event.provider_data) == {
        "environment": environment,
        "timestamp": now,
        "dt": DATATOKEN,
        "id": service_id,
    }
    assert (len(str(quote["r"])), len(str(quote["s"]))) == (66, 66)


def test_a_fee_signed_by_eth_account_is_recognised() -> None:
    inner = keccak(
        encode_packed(
            ["bytes", "address", "address", "uint256", "uint256"], [DATA, PROVIDER, TOKEN, AMOUNT, VALID_UNTIL]
        )
    )
    signed = EthAccount.sign_message(encode_defunct(primitive=inner), OTHER_KEY)
    event = ProviderFee(
        emitter=DATATOKEN,
        provider=PROVIDER,
        token=TOKEN,
        amount=AMOUNT,
        provider_data=DATA,
        v=signed.v,
        r=signed.r.to_bytes(32, "big"),
        s=signed.s.to_bytes(32, "big"),
        valid_until=VALID_UNTIL,
    )
    signer = EthAccount.from_key(OTHER_KEY).address
    assert fee_signer(event) == signer
    assert fee_signer_matches(event, signer.lower())
    assert not fee_signer_matches(event, PROVIDER)


@pytest.mark.parametrize(
    ("v", "r", "s"),
    [
        (0, bytes.fromhex(R), bytes.fromhex(S)),
        (1, bytes.fromhex(R), bytes.fromhex(S)),
        (29, bytes.fromhex(R), bytes.fromhex(S)),
        (255, bytes.fromhex(R), bytes.fromhex(S)),
        (27, bytes.fromhex(R), bytes.fromhex(S)),
        (28, bytes(32), bytes(32)),
        (28, b"\xff" * 32, bytes.fromhex(S)),
        (28, bytes.fromhex(R), b"\xff" * 32),
        (28, bytes.fromhex(S), bytes.fromhex(R)),
    ],
    ids=["v 0", "v 1", "v 29", "v 255", "other v", "zeros", "r too large", "s too large", "swapped"],
)
def test_what_the_contract_would_not_recover_to_us_is_not_ours(v: int, r: bytes, s: bytes) -> None:
    event = ProviderFee(DATATOKEN, PROVIDER, TOKEN, AMOUNT, DATA, v, r, s, VALID_UNTIL)
    assert not fee_signer_matches(event, PROVIDER)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": -1},
        {"amount": 2**256},
        {"valid_until": -1},
        {"valid_until": 2**256},
        {"token": "0x12"},
        {"token": ""},
    ],
    ids=repr,
)
def test_a_quote_the_contract_could_not_take_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a"):
        vector_quote(**changes)


@pytest.mark.parametrize(
    ("price", "seconds", "decimals", "fee"),
    [
        ("1", 60, 18, 10**18),
        ("1", 90, 0, 1),
        ("0.000000000000000001", 60, 18, 1),
        # Less than a base unit is truncated.
        ("0.000000000000000001", 59, 18, 0),
        ("0.0000000000000000019", 60, 18, 1),
        ("1E+3", 60, 2, 100_000),
        ("0", 3600, 18, 0),
    ],
)
def test_time_is_paid_in_base_units_exact_then_truncated(price: str, seconds: int, decimals: int, fee: int) -> None:
    assert time_fee(Decimal(price), seconds=seconds, decimals=decimals) == fee


@given(
    st.decimals(min_value=0, max_value=10**9, places=9),
    st.integers(0, 10**7),
    st.integers(0, 30),
)
def test_a_fee_for_time_is_the_exact_product_truncated(price: Decimal, seconds: int, decimals: int) -> None:
    exact = Fraction(price) * seconds / 60 * 10**decimals
    assert time_fee(price, seconds=seconds, decimals=decimals) == int(exact)


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_price_costs_no_fee(price: str) -> None:
    with pytest.raises(ValueError, match="not a price"):
        time_fee(Decimal(price), seconds=60, decimals=18)
