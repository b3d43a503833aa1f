"""The command that is printed to be copied."""

import sys
from pathlib import Path

import pytest

from provider.program import program


def test_the_command_works_with_and_without_an_activated_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, script = tmp_path / "bin" / "python", tmp_path / "bin" / "provider"
    script.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(python))
    assert program() == [str(python), "-m", "provider"]
    script.touch(mode=0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == [str(script)]
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == ["provider"]
