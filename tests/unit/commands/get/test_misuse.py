"""Arguments that cannot work are one line and exit status 2, before anything is sent."""

from pathlib import Path

import pytest

from provider.__main__ import main

DID = "did:op:" + "0" * 64


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("did:op:1",), "must be a DID"),
        ((DID,), "--provider URL"),
        ((DID, "--provider", "example.org"), "--provider must be a URL"),
        ((DID, "--provider", "ftp://example.org"), "--provider must be a URL"),
        ((DID, "--provider", "http://[::1"), "--provider must be a URL"),
        ((DID, "--provider", "http://x", "--rpc", "node"), "--rpc must be a URL"),
        ((DID, "--provider", "http://x", "--tx", "0x1"), "--tx must be"),
        ((DID, "--provider", "http://x", "--connections", "0"), "between 1 and 16"),
        ((DID, "--provider", "http://x", "--connections", "17"), "between 1 and 16"),
        ((DID, "--provider", "http://x", "--userdata", "[1]"), "--userdata must be"),
        ((DID, "--provider", "http://x", "--userdata", "{"), "--userdata must be"),
    ],
)
def test_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str) -> None:
    assert main(["get", *arguments, "--key-file", str(tmp_path / "key")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


@pytest.mark.parametrize("content", ["", "0x12", "g" * 64, "{}", '{"version": 3}', "secret" * 40])
def test_a_wrong_key_file_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    key, password = tmp_path / "key", tmp_path / "password"
    key.write_text(content)
    password.write_text("secret")
    named = ["--provider", "http://x", "--key-file", str(key), "--password-file", str(password)]
    assert main(["get", DID, *named]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(key) in line
    assert not content or content not in line


def test_a_missing_key_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", DID, "--provider", "http://x", "--key-file", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err
