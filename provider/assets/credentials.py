"""Allow and deny lists of an asset or a service (pure).

The `credentials` value of a DDO in, a verdict per consumer address out. Rules: `decisions.md` [K19] and
`ocean-node-compat.md` section 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import orjson

_EVERYBODY = "*"


class Verdict(Enum):
    """Outcome; the names are those of the wire (`provider-api.md` section 8.2)."""

    OK = 0
    CREDENTIAL_NOT_IN_ALLOW_LIST = 3
    CREDENTIAL_IN_DENY_LIST = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list. `addresses` are lower-case and may hold `*`; None for a type not known here."""

    addresses: frozenset[str] | None

    def matches(self, address: str) -> bool:
        """Is the lower-case address named? An unknown type names nobody."""
        return self.addresses is not None and (address in self.addresses or _EVERYBODY in self.addresses)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Parsed lists. `match_allow` and `match_deny` are `any`, `all`, or None when the DDO does not say.

    `malformed`: the DDO's value cannot be understood, so nobody has access.
    """

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    match_allow: str | None = None
    match_deny: str | None = None
    malformed: bool = False

    def verdict(self, consumer: str) -> Verdict:
        """May this consumer (address in any case) have access? Deny wins; an empty allow list admits everybody.

        Entries of a type `address` name a consumer when `values` hold the address or `*`.

        Deny list: `any` entry (default), or `all`, must name the consumer. Unknown types are left out.

        Allow list: where the DDO is silent, the `address` entries count as one list, so that being named in
        any of them is enough, and every other entry must hold too. That is ocean-node's default `all`, read
        the way 4.x publishers write it: two entries were never meant to admit only those in both, and with a
        single entry the two readings agree. An explicit `all` means every entry by itself, an explicit `any`
        one of them. An unknown type never holds: an allow list of nothing else admits nobody. An entry with
        empty `values` names nobody.
        """
        address = consumer.lower()
        if self.malformed:
            return Verdict.CREDENTIAL_NOT_IN_ALLOW_LIST
        if self._denies(address):
            return Verdict.CREDENTIAL_IN_DENY_LIST
        return Verdict.OK if self._allows(address) else Verdict.CREDENTIAL_NOT_IN_ALLOW_LIST

    def _denies(self, address: str) -> bool:
        known = [entry.matches(address) for entry in self.deny if entry.addresses is not None]
        return bool(known) and (all(known) if self.match_deny == "all" else any(known))

    def _allows(self, address: str) -> bool:
        if not self.allow:
            return True
        holds = [entry.matches(address) for entry in self.allow]
        if self.match_allow is None:
            return any(holds) and all(entry.addresses is not None for entry in self.allow)
        return any(holds) if self.match_allow == "any" else all(holds)


EVERYBODY = Credentials()
NOBODY = Credentials(malformed=True)


def parse_credentials(raw: object) -> Credentials:
    """Lists from a DDO's `credentials`: an object or its JSON text; absent or empty means everybody. Never raises."""
    if isinstance(raw, str) and raw:
        try:
            raw = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return NOBODY
    if raw is None or raw == "":
        return EVERYBODY
    if not isinstance(raw, Mapping):
        return NOBODY
    allow, deny = _entries(raw.get("allow")), _entries(raw.get("deny"))
    match_allow, match_deny = raw.get("match_allow"), raw.get("match_deny")
    ways = (None, "any", "all")
    if allow is None or deny is None or match_allow not in ways or match_deny not in ways:
        return NOBODY
    return Credentials(allow=allow, deny=deny, match_allow=match_allow, match_deny=match_deny)


def _entries(raw: object) -> tuple[Entry, ...] | None:
    """Entries of one list, None when it is malformed."""
    if raw is None:
        return ()
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return None
    entries: list[Entry] = []
    for item in raw:
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
            return None
        if item["type"] != "address":
            entries.append(Entry(None))
            continue
        addresses = _addresses(item.get("values"))
        if addresses is None:
            return None
        entries.append(Entry(addresses))
    return tuple(entries)


def _addresses(raw: object) -> frozenset[str] | None:
    """Texts of `values`; DDO 5 wraps each one as `{"address": …}`. None when malformed."""
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return None
    texts = [item.get("address") if isinstance(item, Mapping) else item for item in raw]
    if not all(isinstance(text, str) for text in texts):
        return None
    return frozenset(str(text).lower() for text in texts)
