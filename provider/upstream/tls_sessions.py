"""TLS sessions towards origins: a new connection to an origin that was met lately saves most of its handshake.

A resumed handshake shows no certificate, so a session is only used for the origin that showed one, and not for long.
"""

import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class TlsSession:
    """What to resume from. `checked_at`: monotonic seconds of the full handshake, in which the certificate was seen."""

    state: ssl.SSLSession
    checked_at: float


class SessionCache:
    """The newest session of each origin; bounded, the one kept longest ago dropped first."""

    def __init__(self, *, max_entries: int = 256, age_seconds: float = 600.0) -> None:
        self._max_entries, self._age_seconds = max_entries, age_seconds
        self._kept: OrderedDict[Origin, TlsSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, origin: Origin) -> TlsSession | None:
        """A session that may be resumed, by several connections at a time; origins that mind it shake hands in full."""
        kept = self._kept.get(origin)
        if kept is not None and time.monotonic() - kept.checked_at > self._age_seconds:
            self.discard(origin)
            return None
        return kept

    def put(self, origin: Origin, session: TlsSession) -> None:
        """Keep it for the next connections to its origin."""
        self.discard(origin)
        self._kept[origin] = session
        if len(self._kept) > self._max_entries:
            self._kept.popitem(last=False)

    def discard(self, origin: Origin) -> None:
        """Forget what is kept of the origin."""
        self._kept.pop(origin, None)
