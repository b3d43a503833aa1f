"""The ways to read one signed text (pure): when its bytes fix the nonce, and what to remember where they do not.

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

# Time zones and daylight saving put wrong clocks at most 14 hours ahead.
MAX_AHEAD_SECONDS = 86_400
_DID = re.compile(r"did:ope?:[0-9a-fA-F]{64}")
# What clients put into these messages: whole numbers, and seconds with the fraction that Python prints.
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?", re.ASCII)
_TAIL = re.compile(r"([0-9]*)(?:\.([0-9]{1,9}))?\Z", re.ASCII)
_COUNTER_DIGITS = 10
_ADDRESS_CHARACTERS = 42


@dataclass(frozen=True, slots=True)
class OpenText:
    """A text of the old family that can be read with more than one nonce.

    `digest`: 128 bits of the sha256 of its lower-case form, as text. `highest`: `nonce_order.sortable` of the greatest
    counter that a reading of it may give. `may_begin`: is the nonce that was presented a counter or the time of now,
    so that an address may begin with it?
    """

    digest: str
    highest: str
    may_begin: bool


class Misread(Exception):
    """The text was signed, but with another nonce than the one presented."""


def read_text(text: str, nonce: str, *, now: float) -> OpenText | None:
    """What the store must remember of a signed text that was presented with `nonce`; None where its bytes fix it.

    `now` in unix seconds. Raises Misread for a nonce that no client signed this text with.
    """
    if text[-1:].isalpha():
        # The new family: the address has a fixed length, and a nonce ends with a digit or a point.
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
    """Is this the time of now, within a day, and is no shorter reading of the same digits the time of now as well?

    Else a job id with the first digits of today's date would make milliseconds read as nanoseconds.
    """
    if abs(seconds - now) > MAX_AHEAD_SECONDS:
        return False
    digits = nonce.partition(".")[0]
    shorter = [digits[-size:] for size in CLOCK_DIGITS if size < len(digits)]
    others = [seconds_of(text, kind_of(sortable(text))) for text in shorter]
    return all(other is None or abs(other - now) > MAX_AHEAD_SECONDS for other in others)


def _after_did(text: str) -> str | None:
    """The nonce that follows the last DID of the text and ends it; None when there is no such DID."""
    at = text.rfind("did:op")
    found = _DID.match(text, at) if at >= 0 else None
    if found is None or parse_nonce(text[found.end() :]) is None:
        return None
    return text[found.end() :]


def _digest(text: str) -> str:
    # A contract account does not tell which spelling of its address it took for signed.
    digest = hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).digest()
    return b64encode(digest[:16], b"-_").rstrip(b"=").decode()


def _highest_counter(text: str) -> str:
    """No reading of the text as a counter gives more than this."""
    # Every such text begins with a whole address, of the signer or of a data NFT, or with more than that.
    found = _TAIL.search(text, _ADDRESS_CHARACTERS)
    whole, fraction = (found[1], found[2]) if found else ("", None)
    highest = int(whole[-_COUNTER_DIGITS:] or 0)
    if highest >= FIRST_SECONDS:
        highest = int(whole[1 - _COUNTER_DIGITS :])
    if fraction is not None:
        highest = max(highest + 1, int(fraction))
    return sortable(str(highest))
