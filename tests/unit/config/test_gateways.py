"""IPFS_GATEWAY and ARWEAVE_GATEWAY: one, several, or none."""

import pytest

from provider.config.reader import Reader
from provider.setting import settings_of
from provider.upstream.config import UpstreamConfig

ONE, TWO, DEFAULT = "https://a.test", "http://10.0.0.1:8080/x", "https://ipfs.io"
SETTING = settings_of(UpstreamConfig)["ipfs_gateways"]


def read(value: str | None = None, in_file: object = None) -> tuple[object, list[str]]:
    environ = {"IPFS_GATEWAY": value} if value is not None else {}
    reader = Reader(environ, {"upstream": {"ipfs_gateway": in_file}} if in_file else {})
    return reader.value(SETTING), reader.faults


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
    assert faults[0].startswith("IPFS_GATEWAY (file: upstream.ipfs_gateway): ")
    assert "SECRET" not in faults[0]
