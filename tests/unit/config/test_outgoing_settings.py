"""HTTP_PROXY, HTTPS_PROXY, NO_PROXY and PROVIDER_DNS_SERVERS."""

import pytest

from provider.config.reader import Reader
from provider.outgoing.proxies import Proxies
from provider.setting import settings_of
from provider.upstream.config import UpstreamConfig

PROXY, OTHER = "http://proxy.test:3128", "https://u:p@other.test:3129"
DNS_SERVERS = settings_of(UpstreamConfig)["dns_servers"]


def proxies(environ: dict[str, str], in_file: dict[str, object] | None = None) -> tuple[Proxies, list[str]]:
    reader = Reader(environ, {"proxy": in_file or {}})
    return reader.read(Proxies), reader.faults


@pytest.mark.parametrize(
    ("environ", "in_file", "expected"),
    [
        ({}, {}, Proxies()),
        ({"HTTPS_PROXY": PROXY}, {}, Proxies(https=PROXY)),
        ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, {}, Proxies(https=PROXY)),
        ({"HTTP_PROXY": "proxy.test:3128"}, {}, Proxies(http=PROXY)),
        ({"HTTP_PROXY": ""}, {"http": PROXY}, Proxies(http=PROXY)),
        ({"HTTP_PROXY": OTHER}, {"http": PROXY}, Proxies(http=OTHER)),
        ({"NO_PROXY": "a.test, .b.test,10.0.0.0/8,"}, {}, Proxies(direct=("a.test", ".b.test", "10.0.0.0/8"))),
        ({"no_proxy": "a.test", "NO_PROXY": "b.test"}, {"direct": ["c.test"]}, Proxies(direct=("a.test",))),
        ({}, {"https": OTHER, "direct": ["c.test"]}, Proxies(https=OTHER, direct=("c.test",))),
    ],
)
def test_proxies_are_read_as_other_programs_read_them(
    environ: dict[str, str], in_file: dict[str, object], expected: Proxies
) -> None:
    assert proxies(environ, in_file) == (expected, [])


@pytest.mark.parametrize("value", ["socks5://SECRET:1080", "http://", "http://SECRET:x", "SECRET with blank"])
def test_what_is_no_proxy_is_a_fault_without_its_value(value: str) -> None:
    _, faults = proxies({"HTTPS_PROXY": value})
    assert len(faults) == 1
    assert faults[0].startswith("HTTPS_PROXY")
    assert "SECRET" not in faults[0]


@pytest.mark.parametrize("value", [5, [1], {"a": "b"}])
def test_hosts_that_are_no_texts_are_a_fault(value: object) -> None:
    assert len(proxies({}, {"direct": value})[1]) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("10.0.0.53", ("10.0.0.53",)),
        ("10.0.0.53:5353, 2001:db8::53,[2001:db8::53]:53", ("10.0.0.53:5353", "2001:db8::53", "[2001:db8::53]:53")),
    ],
)
def test_name_servers_are_addresses_with_a_port_or_without(value: str, expected: tuple[str, ...]) -> None:
    reader = Reader({"PROVIDER_DNS_SERVERS": value}, {})
    assert (reader.value(DNS_SERVERS), reader.faults) == (expected, [])


@pytest.mark.parametrize(
    "value", ["dns.test", "10.0.0.53:x", "10.0.0.53:70000", "10.0.0.53/8", "user@10.0.0.53:53", "10.0.0.53:0", "::1]:5"]
)
def test_what_is_no_name_server_is_a_fault(value: str) -> None:
    reader = Reader({"PROVIDER_DNS_SERVERS": f"10.0.0.1,{value}"}, {})
    assert reader.value(DNS_SERVERS) == ()
    assert len(reader.faults) == 1
