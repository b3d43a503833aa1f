"""IPFS_GATEWAY and ARWEAVE_GATEWAY: one, several, or none."""

import pytest

from provider.config.gateways import read_gateways
from provider.config.source import Source

ONE, TWO, DEFAULT = "https://a.test", "http://10.0.0.1:8080/x", "https://default.test"


def read(value: str | None = None, in_file: object = None) -> tuple[tuple[str, ...], list[str]]:
    source = Source({"G": value} if value is not None else {}, {"upstream": {"g": in_file}} if in_file else {})
    return read_gateways(source, "G", "upstream.g", DEFAULT), source.faults


@pytest.mark.parametrize(
    ("value", "in_file", "expected"),
    [
        (None, None, (DEFAULT,)),
        ("", None, (DEFAULT,)),
        (ONE, None, (ONE,)),
        (f"{ONE},{TWO}", None, (ONE, TWO)),
        (f" {ONE} , {TWO},", None, (ONE, TWO)),
        (f'["{ONE}", "{TWO}", "{ONE}"]', None, (ONE, TWO)),
        (None, ONE, (ONE,)),
        (None, [ONE, TWO], (ONE, TWO)),
        (TWO, [ONE], (TWO,)),
        ("off", [ONE], ()),
        ("OFF", None, ()),
        ("[]", None, ()),
        (None, "off", ()),
    ],
)
def test_gateways_are_one_several_or_none(value: str | None, in_file: object, expected: tuple[str, ...]) -> None:
    assert read(value, in_file) == (expected, [])


@pytest.mark.parametrize("value", ["SECRET", "ftp://SECRET", f"{ONE},SECRET", "[1]", '["SECRET"', '{"a": "SECRET"}'])
def test_faults_are_named_without_the_value(value: str) -> None:
    gateways, faults = read(value)
    assert gateways == (DEFAULT,)
    assert len(faults) == 1
    assert faults[0].startswith("G (file: upstream.g): ")
    assert "SECRET" not in faults[0]
