import pytest

from provider.commands.check.reach import host_of


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:secret@node.example/v3/secret?key=secret#secret", "node.example"),
        ("http://127.0.0.1:8545", "127.0.0.1:8545"),
        ("https://[2001:db8::1]:8545/secret", "[2001:db8::1]:8545"),
        ("http:///secret", "?"),
    ],
)
def test_only_host_and_port_are_shown(url: str, host: str) -> None:
    assert host_of(url) == host
