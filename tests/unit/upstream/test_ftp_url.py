"""FTP URLs: where they lead, and what may not stand in a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UnsafeAddress
from provider.upstream.ftp_url import FtpTarget, parse_ftp_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://h/f", FtpTarget("h", 21, "none", "/f")),
        ("FTP://H.Test:2121/a/b%20c", FtpTarget("h.test", 2121, "none", "/a/b c")),
        ("ftps://h/f", FtpTarget("h", 990, "implicit", "/f")),
        ("ftps://h:990/f", FtpTarget("h", 990, "implicit", "/f")),
        ("ftps://h:21/f", FtpTarget("h", 21, "explicit", "/f")),
        ("ftp://h:990/f", FtpTarget("h", 990, "none", "/f")),
        ("ftp://u:p%40%3A@h/f", FtpTarget("h", 21, "none", "/f", "u", "p@:")),
        ("ftp://u@h/f?x=1#y", FtpTarget("h", 21, "none", "/f", "u")),
        ("ftp://u:a:b@h/f", FtpTarget("h", 21, "none", "/f", "u", "a:b")),
        ("ftp://[::1]:21/f", FtpTarget("::1", 21, "none", "/f")),
        (" ftp://h/ü ", FtpTarget("h", 21, "none", "/Ã¼")),
        ("ftp://h/f;type=i", FtpTarget("h", 21, "none", "/f")),
        ("ftp://h/f;TYPE=A?x", FtpTarget("h", 21, "none", "/f")),
        ("ftp://h/f;type=x", FtpTarget("h", 21, "none", "/f;type=x")),
        ("ftp://h/f;type=i.csv", FtpTarget("h", 21, "none", "/f;type=i.csv")),
        ("ftp://h/f%3Btype=i", FtpTarget("h", 21, "none", "/f;type=i")),
        ("ftp://h//f", FtpTarget("h", 21, "none", "//f")),
    ],
)
def test_urls_are_taken_apart(url: str, expected: FtpTarget) -> None:
    assert parse_ftp_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://h/f",
        "ftp:/h/f",
        "ftp://h",
        "ftp://h/",
        "ftp://h/folder/",
        "ftp://h/folder/;type=i",
        "ftp://h/folder;type=d",
        "ftp:///f",
        "ftp://h:0/f",
        "ftp://h:99999/f",
        "ftp://h:x/f",
        "ftp://h\\@evil/f",
        "ftp://h/a%0d%0aDELE%20b",
        "ftp://h/a%0a",
        "ftp://h/a%00",
        "ftp://h/a%FF",
        "ftp://u%0d%0aSITE:p@h/f",
        "ftp://u:p%0a@h/f",
        "ftp://h/a\r\nDELE b",
        "ftp://h o/f",
        "ftp://h/" + "x" * 20_000,
        "ftp://h/\ud800",
    ],
)
def test_what_cannot_be_asked_for_is_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress) as caught:
        parse_ftp_url(url)
    assert "DELE" not in f"{caught.value.detail}{caught.value}"


def test_credentials_are_not_in_repr() -> None:
    assert "SECRET" not in repr(parse_ftp_url("ftp://SECRET:SECRET@SECRET/SECRET"))


@given(st.text(max_size=60))
def test_no_url_puts_a_second_command_on_the_line(text: str) -> None:
    try:
        target = parse_ftp_url(f"ftp://{text}")
    except UnsafeAddress:
        return
    line = f"{target.user}{target.password}{target.path}"
    assert not set(line) & {"\r", "\n", "\x00", "\xff"}
    line.encode("latin-1")
