"""Settings of the books that need one another."""

from provider.config.load import load_settings

SINGLE = {
    "NETWORK_URL": "http://127.0.0.1:8545",
    "PROVIDER_PRIVATE_KEY": "0x" + "fd" * 32,
    "PROVIDER_PROBE_SECONDS": "86400",
}


def test_without_books_no_file_is_known_as_sold() -> None:
    (warning,) = load_settings({**SINGLE, "PROVIDER_BOOKS": "false"}).warnings
    assert str(warning).startswith("PROVIDER_PROBE_SECONDS is ignored")
    assert load_settings(SINGLE).warnings == ()
