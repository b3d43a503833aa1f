"""Secrets in files: read again when they change."""

import os
from pathlib import Path

import pytest

from provider.errors import UpstreamUnreachable
from provider.files.sources.secret_file import SecretFile


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def replace(path: Path, text: str) -> None:
    """As programs that rotate secrets do."""
    beside = path.with_name("beside")
    beside.write_text(text)
    beside.rename(path)


def test_a_change_is_noticed_after_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "secret", Clock()
    path.write_text(" first\n")
    secret = SecretFile(str(path), name="x", clock=clock)
    assert secret.text() == "first"
    replace(path, "second\n")
    assert secret.text() == "first"
    clock.now += 1
    assert secret.text() == "second"


def test_a_look_notices_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    secret = SecretFile(str(path), name="x", clock=Clock())
    assert secret.text() == "first"
    assert not secret.look()
    os.utime(path, ns=(1, 1))
    assert not secret.look()
    replace(path, "second")
    assert secret.look()
    assert secret.text() == "second"


def test_a_file_that_is_gone_for_a_moment_keeps_its_content(tmp_path: Path) -> None:
    path, clock = tmp_path / "secret", Clock()
    path.write_text("first")
    secret = SecretFile(str(path), name="x", clock=clock)
    assert secret.text() == "first"
    path.unlink()
    clock.now += 1
    assert secret.text() == "first"
    path.write_text("second")
    clock.now += 1
    assert secret.text() == "second"


def test_a_file_that_was_never_there_fails_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnreachable) as failure:
        SecretFile(str(tmp_path / "secret"), name="x").text()
    assert str(tmp_path) not in (failure.value.detail or "")


def test_bytes_that_are_no_text_fail(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UpstreamUnreachable):
        SecretFile(str(path), name="x").text()
