"""The ways in which a download can fail. The texts are for the buyer, and contain no link, key or signature."""

from provider.commands.get.plan import Facts

MAX_TEXT_CHARS = 300


class GetFailed(Exception):
    """The command cannot go on. `status` is the exit status."""

    status = 1


class Misuse(GetFailed):
    """An argument is missing or wrong."""

    status = 2


class NoAccess(GetFailed):
    """There is no order, or the Provider refuses the request."""

    status = 3


class TargetExists(GetFailed):
    """A file with the final name exists already."""

    status = 4


class TryLater(Exception):
    """The server or the network failed temporarily. `pause_seconds`: the pause that the server asks for."""

    def __init__(self, text: str, pause_seconds: float | None = None) -> None:
        super().__init__(text)
        self.pause_seconds = pause_seconds


class LinkEnded(Exception):
    """The link is no longer valid. `url`: the link that was used."""

    def __init__(self, text: str, url: str) -> None:
        super().__init__(text)
        self.url = url


class OtherVersion(Exception):
    """The answer is of another version of the file than the earlier bytes. `facts`: about the new version."""

    def __init__(self, facts: Facts | None = None) -> None:
        super().__init__("the file changed")
        self.facts = facts


class NoRanges(Exception):
    """The server does not answer ranges, although it said so."""


def printable(text: str) -> str:
    """Put a server's text on one line, without control characters that a terminal would obey."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_TEXT_CHARS else line[:MAX_TEXT_CHARS] + "..."
