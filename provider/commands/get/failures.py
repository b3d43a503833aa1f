"""How a download can fail. The texts are for the buyer; they hold no link, key or signature."""

from provider.commands.get.plan import Facts

MAX_TEXT_CHARS = 300


class GetFailed(Exception):
    """The command cannot go on. `status` is the exit status."""

    status = 1


class Misuse(GetFailed):
    """An argument is missing or wrong."""

    status = 2


class NoAccess(GetFailed):
    """There is no order, or the Provider refuses what was asked."""

    status = 3


class TargetExists(GetFailed):
    """A file with the final name is there already."""

    status = 4


class TryLater(Exception):
    """The server or the network failed for the moment. `pause_seconds`: what the server asks for."""

    def __init__(self, text: str, pause_seconds: float | None = None) -> None:
        super().__init__(text)
        self.pause_seconds = pause_seconds


class LinkEnded(Exception):
    """The link is no longer good; `url` is the one that was used."""

    def __init__(self, text: str, url: str) -> None:
        super().__init__(text)
        self.url = url


class OtherVersion(Exception):
    """The answer is of another version of the file than the bytes before. `facts`: what is known of it."""

    def __init__(self, facts: Facts | None = None) -> None:
        super().__init__("the file changed")
        self.facts = facts


class NoRanges(Exception):
    """The server does not answer ranges as it said."""


def printable(text: str) -> str:
    """A server's text on one line, without what a terminal would obey."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_TEXT_CHARS else line[:MAX_TEXT_CHARS] + "..."
