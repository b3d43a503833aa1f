"""Link tokens: a bought file, its consumer and an expiry, sealed so that only this Provider can read them (pure).

A token is compressed JSON in AES-SIV (RFC 5297). AES-SIV needs no random nonce, so tokens are short. It also
authenticates the file name that follows the token in the URL, so a token works under one name only.

Every worker and host with the same universal key opens the same tokens. Nothing is stored about them.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from provider.compute.results import JobResult
from provider.errors import LinkTooLong, LinkUnknown

if TYPE_CHECKING:
    from provider.crypto.accounts import Account

VERSION = "1"
MAX_TOKEN_CHARS = 2048
"""Proxies and tools accept URLs of this length."""

MAX_PACKED_BYTES = 4096
"""What a token may hold before it is compressed. Opened tokens are kept, and user data may compress a thousandfold."""

# Tools read one link in many ranges. Only valid tokens are kept: a stranger fills nothing, a buyer at most 16 MiB.
_OPENED = 1024
_PURPOSES = (b"ocean provider / link authentication / v1", b"ocean provider / link encryption / v1")
_TOKEN = re.compile(r"1[A-Za-z0-9_-]{40,2048}")


@dataclass(frozen=True, slots=True)
class OrderedFile:
    """A file of an order.

    Attributes:
        userdata: user data for the origin, as JSON text; "" for none.
        policy_data: the request's `policyServer` value, as JSON text; "" for none.
    """

    did: str
    service_id: str
    order_tx_id: str
    file_index: int
    userdata: str = field(default="", repr=False)
    policy_data: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says. Times are unix seconds.

    Attributes:
        consumer: checksummed address.
        issued_at: after all earlier revocations of the consumer, so it may lie ahead.
        lifetime_seconds: what a renewed link gets again.
        not_after: no renewed link lives longer; 0 for no such end.
        token_id: name of the AuthToken that made the link, "" if a signature did.
        nonce: nonce of the request that made the link; part of the message below.
        signature: the consumer's signature over the creation, "" if a token replaced it. Proofs of download need it.
        version: the file's version when the link was made, as `version_of` names it; "" if it was not known.
    """

    target: OrderedFile | JobResult
    consumer: str
    issued_at: int
    expires_at: int
    lifetime_seconds: int
    not_after: int = 0
    token_id: str = field(default="", repr=False)
    nonce: str = ""
    signature: str = field(default="", repr=False)
    version: str = ""


class LinkSeal:
    """Seals links into tokens and opens them, with keys derived from the universal key (RFC 5869)."""

    def __init__(self, universal: "Account") -> None:
        self._cipher = AESSIV(b"".join(map(universal.derive_key, _PURPOSES)))
        self._opened = lru_cache(maxsize=_OPENED)(self._open)

    def seal(self, link: Link, name: str) -> str:
        """Return the token of `link` for a URL that ends with `name`.

        Raises LinkTooLong if its user data are too large.
        """
        packed = _packed(link)
        if len(packed) > MAX_PACKED_BYTES:
            raise LinkTooLong
        sealed = self._cipher.encrypt(zlib.compress(packed, 9), [VERSION.encode(), name.encode()])
        token = _encoded(sealed)
        if len(token) > MAX_TOKEN_CHARS:
            raise LinkTooLong
        return token

    def open(self, token: str, name: str) -> Link:
        """Return the link of a URL with this token and name. Raises LinkUnknown."""
        if len(token) > MAX_TOKEN_CHARS:
            raise LinkUnknown
        return self._opened(token, name)

    def _open(self, token: str, name: str) -> Link:
        if _TOKEN.fullmatch(token) is None:
            raise LinkUnknown
        try:
            sealed = urlsafe_b64decode(token[1:] + "=" * (-(len(token) - 1) % 4))
            packed = self._cipher.decrypt(sealed, [VERSION.encode(), name.encode("utf-8", "surrogatepass")])
        except (InvalidTag, ValueError):
            raise LinkUnknown from None
        if _encoded(sealed) != token:
            # base64 has spare bits. Another spelling of a token would be another link in logs and proofs.
            raise LinkUnknown
        return _unpacked(zlib.decompress(packed))


def link_id(token: str) -> str:
    """Return the name of a link in logs and metrics. The token cannot be found from it."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _encoded(sealed: bytes) -> str:
    return VERSION + urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _packed(link: Link) -> bytes:
    target = link.target
    if isinstance(target, OrderedFile):
        what: list[object] = [
            target.did,
            target.service_id,
            target.order_tx_id,
            target.file_index,
            target.userdata,
            target.policy_data,
        ]
    else:
        what = [target.job_id, target.index, target.owner]
    times = [link.issued_at, link.expires_at, link.lifetime_seconds, link.not_after]
    return orjson.dumps([what, link.consumer, times, link.token_id, link.nonce, link.signature, link.version])


def _unpacked(packed: bytes) -> Link:
    what, consumer, times, *rest = orjson.loads(packed)
    target = OrderedFile(*what) if len(what) > 3 else JobResult(*what)
    return Link(target, consumer, *times, *rest)
