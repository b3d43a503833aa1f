"""What the command says when it cannot explain anything."""

from typing import cast

import pytest

from provider.commands import explain as command
from provider.commands.explain import Options, explain
from provider.config import Settings
from provider.errors import ChainUnavailable
from provider.errors.start import StartError

WORDS = "no\x1b]0;title\x07 chain\nprovider: all is well"


@pytest.mark.parametrize("error", [ChainUnavailable(detail=WORDS), StartError(WORDS)])
def test_words_of_a_node_are_shown_as_one_line_that_a_terminal_does_not_obey(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> list[object]:
        raise error

    monkeypatch.setattr(command, "_explained", fail)
    options = Options("did:op:1", None, "0x1", "0x" + "1" * 40, 0, "table")
    assert explain(options, cast(Settings, None)) == 1
    assert capsys.readouterr().err == "provider: no ]0;title chain provider: all is well\n"
