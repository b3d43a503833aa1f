"""The name that a store in Redis was given when it began, so that an emptied one is not taken for the same store.

One key beside the nonces. Every use of a nonce compares it. When it is gone, so may be the nonces, and the store begins
again with a bound: an address that it does not know must exceed the moment of that beginning.
"""

import secrets
from dataclasses import dataclass
from typing import Self

from provider.auth.nonce_order import sortable
from provider.auth.nonce_window import clock_nonce, is_large, kind_of
from provider.wire.text import digits

# Sorts above every nonce.
_NEVER = "9013"


@dataclass(frozen=True, slots=True)
class Epoch:
    """`began_at`: unix seconds when nonces may have been lost; 0 for a store that nothing was lost from."""

    name: str
    began_at: int = 0

    @classmethod
    def begin(cls, began_at: float = 0) -> Self:
        """A new one; `began_at` counts in full seconds, so it is taken a little late."""
        return cls(secrets.token_hex(8), int(began_at) + 1 if began_at else 0)

    @classmethod
    def parse(cls, reply: object) -> Self | None:
        """The one that was read; None when there is none. One that an operator wrote in other words lost everything."""
        if not isinstance(reply, bytes):
            return None
        name, _, began_at = reply.decode("utf-8", "replace").partition(" ")
        return cls(name, digits(began_at, max_chars=11) or 0)

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.name} {self.began_at}"

    @property
    def first_nonce(self) -> str | None:
        """What an address that is not known must exceed, in milliseconds; None where any nonce will do."""
        return clock_nonce(self.began_at, "") if self.began_at else None

    def least_order(self, kind: str) -> str:
        """The same to sort by, for a nonce of this kind; empty where any will do."""
        if self.first_nonce is None:
            return ""
        if is_large(kind):
            return _NEVER + self.first_nonce
        least = sortable(clock_nonce(self.began_at, kind))
        # Counters and seconds of an unknown address would leave old requests free: they go on from `first_nonce`.
        return least if kind_of(least) == kind else sortable(self.first_nonce)
