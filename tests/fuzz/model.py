"""The definition of a fuzz target, and the errors that a parser of a stranger's text may raise."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `check` takes any bytes and raises when an invariant does not hold; `max_bytes` bounds the input."""

    name: str
    check: Callable[[bytes], None]
    max_bytes: int = 4096

    @property
    def folder(self) -> Path:
        """Its kept inputs, one a file."""
        return CORPUS / self.name

    def seeds(self) -> list[bytes]:
        """The kept inputs in the order of their names."""
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]


def as_text(data: bytes) -> str:
    """Text of any code points: lone surrogates are there too, as JSON and headers may bring them."""
    return data.decode("utf-8", "surrogateescape")


def as_json(data: bytes) -> object:
    """A JSON value as Python's reader takes it, NaN and lone surrogates included; None for what is none."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def lines(data: bytes, count: int) -> list[bytes]:
    """Exactly `count` lines; the last has all the rest."""
    parts = data.split(b"\n", count - 1)
    return parts + [b""] * (count - len(parts))
