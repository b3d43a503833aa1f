"""Allow and deny lists of an asset or a service (pure).

Parses the `credentials` value of a DDO, and gives a verdict for each consumer address. It lists in advance the access
lists on chain that it depends on; `provider.policy` looks them up. Rules: `decisions.md` [K19],
`ocean-node-compat.md` section 2.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from provider.crypto.keccak import is_address, to_checksum_address
from provider.wire.json import read_json
from provider.wire.text import digits

_EVERYBODY = "*"
_WAYS = (None, "any", "all")
_KEYS = frozenset(("allow", "deny", "match_allow", "match_deny"))
# One JSON-RPC batch. Anyone can publish a DDO and cause these calls.
MAX_ACCESS_LISTS = 50


class Verdict(Enum):
    """The outcome, with the names used on the wire (`provider-api.md` section 8.2)."""

    OK = 0
    CREDENTIAL_NOT_IN_ALLOW_LIST = 3
    CREDENTIAL_IN_DENY_LIST = 4


@dataclass(frozen=True, slots=True)
class AccessList:
    """An ERC-721 contract (checksummed) on a chain. Every holder of one of its tokens is listed."""

    chain_id: int
    contract: str


Memberships = Mapping[AccessList, bool]
"""Whether the consumer is listed. Absent if a list is unreadable: no contract, or its chain is not configured."""

NO_MEMBERSHIPS: Memberships = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list. `addresses` are lower-case and may include `*`. Both None: an unknown type."""

    addresses: frozenset[str] | None = None
    access_list: AccessList | None = None

    @property
    def is_known(self) -> bool:
        """True if this Provider can decide about the type."""
        return self.addresses is not None or self.access_list is not None

    def matches(self, address: str, memberships: Memberships, *, unread: bool) -> bool:
        """True if the entry names the lower-case address; `unread` for an unreadable list, False without a type."""
        if self.access_list is not None:
            return memberships.get(self.access_list, unread)
        return self.addresses is not None and (address in self.addresses or _EVERYBODY in self.addresses)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Parsed lists.

    Attributes:
        match_allow, match_deny: `any`, `all`, or None if the DDO does not say.
        malformed: the DDO's value cannot be understood, so nobody has access.
        further: more credentials of the same object (DDO 5 has a list), each of which must admit the consumer too.
    """

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    match_allow: str | None = None
    match_deny: str | None = None
    malformed: bool = False
    further: tuple["Credentials", ...] = ()
    access_lists: tuple[AccessList, ...] = ()
    """Every access list that the verdict depends on, including those of `further`."""

    def verdict(self, consumer: str, memberships: Memberships = NO_MEMBERSHIPS) -> Verdict:
        """Decide about a consumer (address in any case). Deny wins; an empty allow list admits everyone.

        An `address` entry names a consumer if `values` contains the address or `*`; an `accessList` entry, if the
        consumer is listed there. A list that cannot be read admits nobody and denies everyone.

        Deny list: `any` entry (default), or `all`, must name the consumer. Unknown types are ignored.

        Allow list: if the DDO is silent, the `address` entries count as one list, so being named in any of them is
        enough. Every other entry must hold too. That is ocean-node's default `all`, read the way 4.x publishers write
        it: two entries were never meant to admit only those in both, and for a single entry the two readings agree. An
        explicit `all` means every entry by itself, an explicit `any` one of them. An unknown type never holds: an allow
        list with nothing else admits nobody. An entry with empty `values` names nobody.
        """
        # Most assets have no lists, and this runs at every download.
        if not (self.allow or self.deny or self.malformed or self.further):
            return Verdict.OK
        address = consumer.lower()
        parts = (self, *self.further)
        if any(part.malformed for part in parts):
            return Verdict.CREDENTIAL_NOT_IN_ALLOW_LIST
        if any(part._denies(address, memberships) for part in parts):
            return Verdict.CREDENTIAL_IN_DENY_LIST
        allowed = all(part._allows(address, memberships) for part in parts)
        return Verdict.OK if allowed else Verdict.CREDENTIAL_NOT_IN_ALLOW_LIST

    def _denies(self, address: str, memberships: Memberships) -> bool:
        if not self.deny:
            return False
        known = [entry.matches(address, memberships, unread=True) for entry in self.deny if entry.is_known]
        return bool(known) and (all(known) if self.match_deny == "all" else any(known))

    def _allows(self, address: str, memberships: Memberships) -> bool:
        if not self.allow:
            return True
        holds = [entry.matches(address, memberships, unread=False) for entry in self.allow]
        if self.match_allow is not None:
            return any(holds) if self.match_allow == "any" else all(holds)
        by_address = [held for held, entry in zip(holds, self.allow, strict=True) if entry.addresses is not None]
        others = [held for held, entry in zip(holds, self.allow, strict=True) if entry.addresses is None]
        return (not by_address or any(by_address)) and all(others)


EVERYBODY = Credentials()
NOBODY = Credentials(malformed=True)


def parse_credentials(raw: object, *, may_be_list: bool = False) -> Credentials:
    """Parse the lists in a DDO's `credentials`: an object or its JSON text. Never raises.

    Absent, or empty of any kind, means everyone. `may_be_list`: DDO 5 has a list of such objects.
    """
    if isinstance(raw, str) and raw:
        try:
            raw = read_json(raw)
        except ValueError:
            return NOBODY
    if _is_empty(raw):
        return EVERYBODY
    if isinstance(raw, list) and may_be_list:
        # A list entry in place of an object of lists must not count as an empty object.
        parts = [_parse_one(item) if isinstance(item, Mapping) and item.keys() <= _KEYS else NOBODY for item in raw]
    else:
        parts = [_parse_one(raw)]
    return _joined(parts)


def _joined(parts: Sequence[Credentials]) -> Credentials:
    if not parts:
        return EVERYBODY
    lists = tuple(dict.fromkeys(_access_lists(parts)))
    if len(lists) > MAX_ACCESS_LISTS:
        return NOBODY
    first = parts[0]
    return Credentials(
        allow=first.allow,
        deny=first.deny,
        match_allow=first.match_allow,
        match_deny=first.match_deny,
        malformed=first.malformed,
        further=tuple(parts[1:]),
        access_lists=lists,
    )


def _access_lists(parts: Iterable[Credentials]) -> Iterable[AccessList]:
    entries = chain.from_iterable((*part.allow, *part.deny) for part in parts)
    return (entry.access_list for entry in entries if entry.access_list is not None)


def _parse_one(raw: object) -> Credentials:
    if not isinstance(raw, Mapping):
        return NOBODY
    allow, deny = _entries(raw.get("allow")), _entries(raw.get("deny"))
    match_allow, match_deny = raw.get("match_allow"), raw.get("match_deny")
    if allow is None or deny is None or match_allow not in _WAYS or match_deny not in _WAYS:
        return NOBODY
    return Credentials(allow=allow, deny=deny, match_allow=match_allow, match_deny=match_deny)


def _entries(raw: object) -> tuple[Entry, ...] | None:
    """Entries of one list; None if it is malformed."""
    if _is_empty(raw):
        return ()
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return None
    entries: list[Entry] = []
    for item in raw:
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
            return None
        parse = _TYPES.get(item["type"].lower())
        entry = parse(item) if parse is not None else Entry()
        if entry is None:
            return None
        entries.append(entry)
    return tuple(entries)


def _is_empty(raw: object) -> bool:
    """True if the publisher's value says nothing. wire: as in Provider 2.1, an empty value of any kind is no list."""
    return raw is None or raw in ("", [], {})


def _by_address(item: Mapping[str, object]) -> Entry | None:
    """Texts in `values`; DDO 5 wraps each one as `{"address": …}`. None if malformed."""
    raw = item.get("values")
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return None
    texts = [value.get("address") if isinstance(value, Mapping) else value for value in raw]
    if not all(isinstance(text, str) for text in texts):
        return None
    return Entry(addresses=frozenset(str(text).lower() for text in texts))


def _by_access_list(item: Mapping[str, object]) -> Entry | None:
    """`{chainId, accessList}`; the chain id may be decimal text. None if malformed."""
    contract, chain_id = item.get("accessList"), item.get("chainId")
    if isinstance(chain_id, str):
        chain_id = digits(chain_id, max_chars=18)
    if type(chain_id) is not int or chain_id <= 0 or not is_address(contract):
        return None
    return Entry(access_list=AccessList(chain_id, to_checksum_address(str(contract))))


# Type names are compared without regard to case, as in ocean-node.
_TYPES: Mapping[str, Callable[[Mapping[str, object]], Entry | None]] = {
    "address": _by_address,
    "accesslist": _by_access_list,
}
