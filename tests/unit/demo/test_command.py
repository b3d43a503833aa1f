"""The command line's own rules: sizes and the missing extra."""

import pytest

from provider.demo import command


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1", 1),
        ("4096", 4096),
        ("1GiB", 1 << 30),
        ("1 gib", 1 << 30),
        ("500MB", 500_000_000),
        ("1.5KiB", 1536),
        ("1024GiB", 1 << 40),
    ],
)
def test_size_with_its_unit_is_bytes(text: str, size_bytes: int) -> None:
    assert command.parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "0", "-1", "1TiBB", "big", "1e9", "nan", "1025GiB", "0.0000001", "1 2", "١GiB"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        command.parse_size(text)


def test_wrong_size_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(size="huge", keep=False) == 2
    assert "'huge' is not a size" in capsys.readouterr().err


def test_missing_extra_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "artifacts" else object())
    assert command.run(size="1MiB", keep=False) == 2
    assert capsys.readouterr().err.splitlines() == [
        "provider demo: install with: pip install 'ocean-stream-provider[demo]'"
    ]
