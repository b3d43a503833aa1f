"""Cookies of one chain of redirects (pure; RFC 6265 section 5).

Some origins (F5, SharePoint, login portals) set a cookie, redirect, and serve the file only to a request that sends the
cookie back. A cookie is sent only to the very host that set it; its `Domain` is ignored. Cookies end with their chain.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from provider.upstream.source import Headers
from provider.upstream.urls import Target
from provider.wire.text import digits, ows

# RFC 6265 section 6.1 asks for 50 cookies of 4096 bytes. Origins refuse heads of more than 8-16 KiB.
_MAX_COOKIES = 50
_MAX_COOKIE_CHARS = 4096
_MAX_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie, and which requests it belongs to."""

    name: str = field(repr=False)
    value: str = field(repr=False)
    host: str = field(repr=False)
    path: str = field(repr=False)
    secure: bool

    def fits(self, target: Target) -> bool:
        """True if the cookie is sent to `target` (RFC 6265 section 5.4)."""
        return (
            self.host == target.host
            and (target.scheme == "https" or not self.secure)
            and target.path.startswith(self.path)
            and (self.path.endswith("/") or target.path[len(self.path) : len(self.path) + 1] in ("", "/"))
        )


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies that a chain has set so far."""

    kept: tuple[Cookie, ...] = field(default=(), repr=False)

    def after(self, target: Target, headers: Headers) -> "Cookies":
        """Apply the `Set-Cookie` lines of the answer from `target`: add, replace and remove cookies."""
        lines = headers.get_all("Set-Cookie")
        if not lines:
            return self
        kept = {(cookie.name, cookie.host, cookie.path): cookie for cookie in self.kept}
        for cookie, is_ended in _set_by(lines, target):
            key = (cookie.name, cookie.host, cookie.path)
            if is_ended:
                kept.pop(key, None)
            elif key in kept or len(kept) < _MAX_COOKIES:
                kept[key] = cookie
        return Cookies(tuple(kept.values()))

    def text_for(self, target: Target) -> str:
        """Value of `Cookie` for a request to `target`, longer paths first. Empty if no cookie fits."""
        fitting = sorted((cookie for cookie in self.kept if cookie.fits(target)), key=lambda cookie: -len(cookie.path))
        text = "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)
        return text if len(text) <= _MAX_CHARS else ""


NO_COOKIES = Cookies()


def _set_by(lines: list[str], target: Target) -> Iterator[tuple[Cookie, bool]]:
    """Parse each cookie, and whether it is removed here (RFC 6265 section 5.2)."""
    for line in lines:
        pair, *others = line.split(";")
        name, equals, value = pair.partition("=")
        if not equals or not ows(name) or len(line) > _MAX_COOKIE_CHARS:
            continue
        attributes = {ows(key).lower(): ows(text) for key, _, text in (other.partition("=") for other in others)}
        secure = "secure" in attributes
        if secure and target.scheme != "https":
            continue
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = target.path[: target.path.rfind("/")] or "/"
        yield Cookie(ows(name), ows(value), target.host, path, secure), _is_ended(attributes)


def _is_ended(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age")
    if age is not None and (age.startswith("-") or digits(age) is not None):
        return age.startswith("-") or not digits(age)
    try:
        return parsedate_to_datetime(attributes["expires"]).timestamp() <= time.time()
    except (KeyError, ValueError, OverflowError):
        return False
