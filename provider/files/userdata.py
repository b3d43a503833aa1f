"""User data of a request, and how they are written into requests to origins (pure; `provider-api.md` section 11.2)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from provider.errors import FileObjectInvalid, UserdataInvalid

# User data are a handful of parameters. No origin asks for trees.
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Userdata:
    """The consumer's values. `is_broken`: the consumer sent something other than an object or its JSON text."""

    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    is_broken: bool = False

    def over(self, own: Mapping[str, object] | None) -> Mapping[str, object]:
        """The consumer's values, or else the file object's `own`."""
        return self.values or own or {}

    def needed_over(self, own: Mapping[str, object] | None) -> Mapping[str, object]:
        """The same for kinds of files that require user data. Raises UserdataInvalid if they are broken."""
        if self.is_broken:
            raise UserdataInvalid
        return self.over(own)


NO_USERDATA = Userdata()


def with_query(url: str, values: Mapping[str, object]) -> str:
    """Append the values to the query of `url`, which stays byte for byte. The fragment is dropped."""
    added = urlencode([(name, _text(value)) for name, value in values.items() if value is not None], errors="replace")
    url = url.partition("#")[0]
    if not added:
        return url
    if "?" not in url:
        return f"{url}?{added}"
    return url + added if url.endswith(("?", "&")) else f"{url}&{added}"


def as_json(value: object) -> str:
    """JSON text. Raises FileObjectInvalid if the value cannot be written as JSON."""
    # Not orjson: integers of contracts and hashes exceed its 64 bits.
    if not _is_shallow(value):
        raise FileObjectInvalid(detail="user data is nested too deeply")
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise FileObjectInvalid(detail="user data holds a value that JSON cannot represent") from None


def _text(value: object) -> str:
    """wire: as written by the HTTP library of Provider 2.1, so True is `True`; objects and lists become JSON."""
    return as_json(value) if isinstance(value, Mapping | list) else str(value)


def _is_shallow(value: object) -> bool:
    """True if the nesting is safe. The encoder recurses on the C stack, and libraries raise the limit on it."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        containers = [item for item in level if isinstance(item, Mapping | list)]
        if not containers:
            return True
        level = [inner for item in containers for inner in (item.values() if isinstance(item, Mapping) else item)]
    return False
