"""Which proxy a URL of the operator takes, and which hosts are reached directly."""

import pytest

from provider.outgoing.proxies import Proxies

HTTP, HTTPS = "http://user:SECRET@proxy.test:3128", "http://secure-proxy.test:3129"


def of(url: str, *direct: str) -> str | None:
    return Proxies(HTTP, HTTPS, direct).of(url)


def test_the_scheme_of_the_url_decides() -> None:
    assert of("http://node.test:8545/") == HTTP
    assert of("https://node.test/KEY") == HTTPS
    assert Proxies(https=HTTPS).of("http://node.test") is None
    assert Proxies().of("https://node.test") is None


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "node.localhost", "localhost.", "127.0.0.1", "127.3.2.1", "[::1]"]
)
def test_loopback_is_always_reached_directly(host: str) -> None:
    assert of(f"http://{host}:8545/") is None


@pytest.mark.parametrize(
    ("direct", "url", "is_direct"),
    [
        ("*", "https://node.test/", True),
        ("node.test", "https://node.test/", True),
        ("NODE.test", "https://node.TEST/", True),
        ("node.test", "https://a.node.test/", True),
        (".node.test", "https://a.node.test/", True),
        (".node.test", "https://node.test/", True),
        ("node.test", "https://badnode.test/", False),
        ("test", "https://node.test/", True),
        ("node.test:8545", "http://node.test:8545/", True),
        ("node.test:8545", "http://node.test:8546/", False),
        ("node.test:443", "https://node.test/", True),
        ("10.1.2.3", "http://10.1.2.3/", True),
        ("10.1.2.3:81", "http://10.1.2.3:80/", False),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.0.0.0/8", "http://node.test/", False),
        ("2001:db8::/32", "http://[2001:db8::1]:8545/", True),
        ("[2001:db8::1]:8545", "http://[2001:db8::1]:8545/", True),
        ("2001:db8::1", "http://[2001:db8:0::1]/", True),
        ("not/a/network", "http://node.test/", False),
        ("300.0.0.0/8", "http://10.0.0.1/", False),
        ("", "http://node.test/", False),
        (".", "http://node.test/", False),
    ],
)
def test_no_proxy_names_hosts_subdomains_addresses_and_networks(direct: str, url: str, is_direct: bool) -> None:
    assert (of(url, direct) is None) is is_direct
    assert (of(url, "other.test", direct) is None) is is_direct


def test_passwords_of_proxies_stay_out_of_texts() -> None:
    assert "SECRET" not in repr(Proxies(HTTP, HTTPS))
