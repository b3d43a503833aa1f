"""The epoch: a random name that a store in Redis gets when it begins, so that an emptied store is noticed.

It is one key beside the nonces, and every use of a nonce compares it. If the key is gone, nonces may be lost too. The
store then begins a new epoch: the first nonce of an unknown address must be later than the beginning of the epoch.
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
    """`began_at`: when nonces may have been lost, in unix seconds; 0 for a store that never lost any."""

    name: str
    began_at: int = 0

    @classmethod
    def begin(cls, began_at: float = 0) -> Self:
        """Return a new epoch. `began_at` is rounded up to full seconds."""
        return cls(secrets.token_hex(8), int(began_at) + 1 if began_at else 0)

    @classmethod
    def parse(cls, reply: object) -> Self | None:
        """Parse Redis's reply; None if the key is absent. A text that is no epoch gives `began_at` 0."""
        if not isinstance(reply, bytes):
            return None
        name, _, began_at = reply.decode("utf-8", "replace").partition(" ")
        return cls(name, digits(began_at, max_chars=11) or 0)

    @property
    def text(self) -> str:
        """The value of the key."""
        return f"{self.name} {self.began_at}"

    @property
    def first_nonce(self) -> str | None:
        """The nonce, in milliseconds, that an unknown address must exceed; None if it may begin with any."""
        return clock_nonce(self.began_at, "") if self.began_at else None

    def least_order(self, kind: str) -> str:
        """Return the same bound for a nonce of this kind, as `sortable`; empty if any nonce is allowed."""
        if self.first_nonce is None:
            return ""
        if is_large(kind):
            return _NEVER + self.first_nonce
        least = sortable(clock_nonce(self.began_at, kind))
        # If an unknown address could begin with a counter or with seconds, old requests could be replayed.
        return least if kind_of(least) == kind else sortable(self.first_nonce)
