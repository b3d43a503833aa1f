"""Live figures of one stream: plain attributes, read from outside at any time and written by the stream's path only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Progress:
    """`bytes_sent`: body bytes handed to the consumer's connection. `awaits_*`: which side it waits for, if any.

    `awaits_origin` is set by paths whose source does not keep its idle limit itself. `path`: the one it is on now.
    """

    bytes_sent: int = 0
    awaits_consumer: bool = False
    awaits_origin: bool = False
    path: Literal["splice", "copy"] = "copy"
