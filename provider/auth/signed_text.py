"""Does the text that was signed determine the nonce? If not, what must be remembered of the text (pure)?

Messages of the old family have no separators, so the same bytes may be split into fields and nonce in several ways.
`docs/authentication.md` has the whole argument.
"""

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_window import CLOCK_DIGITS, COUNTER, FIRST_SECONDS, is_large, kind_of, seconds_of

# A clock with the wrong time zone or daylight saving time is at most 14 hours ahead.
MAX_AHEAD_SECONDS = 86_400
_DID = re.compile(r"did:ope?:[0-9a-fA-F]{64}")
# The nonces of clients of the old family: whole numbers, and seconds with the fraction that Python prints.
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?", re.ASCII)
_TAIL = re.compile(r"([0-9]*)(?:\.([0-9]{1,9}))?\Z", re.ASCII)
_COUNTER_DIGITS = 10
_ADDRESS_CHARACTERS = 42


@dataclass(frozen=True, slots=True)
class OpenText:
    """A text of the old family that can be read with more than one nonce.

    `digest`: 128 bits of the sha256 of the text in lower case, as base64. `highest`: the greatest counter that any
    reading of the text gives, as `nonce_order.sortable`. `may_begin`: whether the presented nonce is a counter or the
    current time; only such a nonce may be the first of an address.
    """

    digest: str
    highest: str
    may_begin: bool


class Misread(Exception):
    """The text was signed, but not with the presented nonce."""


def read_text(text: str, nonce: str, *, now: float) -> OpenText | None:
    """Return what the store must remember of the text; None if the text determines the nonce.

    `text`: the signed message. `nonce`: the nonce presented with it. `now`: unix seconds. Raises Misread if no client
    can have signed this text with this nonce.
    """
    if text[-1:].isalpha():
        # The new family. The address has a fixed length, and a nonce ends with a digit or a point.
        return None
    signed_nonce = _after_did(text)
    if signed_nonce is not None:
        if signed_nonce != nonce:
            raise Misread
        return None
    if _PLAIN.fullmatch(nonce) is None:
        raise Misread
    order = sortable(nonce)
    kind = kind_of(order)
    seconds = seconds_of(nonce, kind)
    if seconds is not None and seconds > now + MAX_AHEAD_SECONDS:
        raise Misread
    may_begin = not is_large(kind) and (seconds is None or _is_only_now(nonce, seconds, now))
    return OpenText(_digest(text), _highest_counter(text) if kind == COUNTER else "", may_begin)


def _is_only_now(nonce: str, seconds: float, now: float) -> bool:
    """Is the nonce the current time (within a day), and is no shorter ending of its digits the current time too?

    Otherwise a job id that ends with the first digits of the current time would turn milliseconds into nanoseconds.
    """
    if abs(seconds - now) > MAX_AHEAD_SECONDS:
        return False
    digits = nonce.partition(".")[0]
    shorter = [digits[-size:] for size in CLOCK_DIGITS if size < len(digits)]
    others = [seconds_of(text, kind_of(sortable(text))) for text in shorter]
    return all(other is None or abs(other - now) > MAX_AHEAD_SECONDS for other in others)


def _after_did(text: str) -> str | None:
    """Return the nonce between the last DID and the end of the text; None if no nonce follows a DID."""
    at = text.rfind("did:op")
    found = _DID.match(text, at) if at >= 0 else None
    if found is None or parse_nonce(text[found.end() :]) is None:
        return None
    return text[found.end() :]


def _digest(text: str) -> str:
    # A contract account does not say which spelling of its address was signed.
    digest = hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).digest()
    return b64encode(digest[:16], b"-_").rstrip(b"=").decode()


def _highest_counter(text: str) -> str:
    """Return an upper bound, as `sortable`, of the counters that the text can be read with."""
    # Every such text begins with at least one whole address: the signer's or a data NFT's.
    found = _TAIL.search(text, _ADDRESS_CHARACTERS)
    whole, fraction = (found[1], found[2]) if found else ("", None)
    highest = int(whole[-_COUNTER_DIGITS:] or 0)
    if highest >= FIRST_SECONDS:
        highest = int(whole[1 - _COUNTER_DIGITS :])
    if fraction is not None:
        highest = max(highest + 1, int(fraction))
    return sortable(str(highest))
