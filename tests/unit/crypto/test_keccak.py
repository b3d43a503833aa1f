"""Digests and checksummed addresses against eth_utils."""

import runpy
import sys

import pytest
from eth_utils import keccak
from eth_utils import to_checksum_address as oracle
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto import keccak as keccak_module
from provider.crypto.keccak import is_address, keccak256, to_checksum_address

# From the text of EIP-55.
EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
]


def test_digest_of_nothing_is_keccak_and_not_sha3() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.binary(max_size=300))
def test_digest_equals_another_library(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


def test_the_portable_digest_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Used where safe-pysha3 has no wheel."""
    monkeypatch.setitem(sys.modules, "sha3", None)
    portable = runpy.run_path(keccak_module.__file__)["keccak256"]
    assert portable.__code__ != keccak256.__code__
    for size in (0, 1, 32, 135, 136, 137, 300):
        assert portable(bytes(range(256))[:size] * 2) == keccak256(bytes(range(256))[:size] * 2)


@pytest.mark.parametrize("address", EIP_55)
def test_checksum_is_eip_55_for_any_case(address: str) -> None:
    assert to_checksum_address(address.lower()) == address
    assert to_checksum_address("0x" + address[2:].upper()) == address
    assert to_checksum_address(address) == address


@given(st.binary(min_size=20, max_size=20))
def test_checksum_equals_another_library(raw: bytes) -> None:
    assert to_checksum_address("0x" + raw.hex()) == oracle(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "a" * 40,
        "0X" + "a" * 40,
        "0x" + "a" * 39,
        "0x" + "a" * 41,
        "0x" + "g" * 40,
        "0x" + "a" * 40 + "\n",
        " 0x" + "a" * 40,
        "0x" + "١" * 40,
    ],
)
def test_other_text_is_no_address(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(ValueError, match="not an address") as caught:
        to_checksum_address(text)
    assert len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, b"0x" + b"a" * 40, ["0x" + "a" * 40]], ids=repr)
def test_other_types_are_no_address(value: object) -> None:
    assert not is_address(value)
