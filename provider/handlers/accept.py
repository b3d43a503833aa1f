"""Finds the form of an answer that a client prefers, from its `Accept` header (RFC 9110 section 12.5.1). Pure."""

import re
from collections.abc import Mapping, Sequence

from provider.wire.text import ows

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_JSON_TYPES = ("application/json", "application/*", "*/*")
_WEIGHT = re.compile(r"[0-9]+\.?[0-9]*")


def wants_page(accept: str | None) -> bool:
    """True if `accept` rates HTML above JSON.

    A malformed header counts as no preference: Java's HttpURLConnection names text/html in a malformed one (`*; q=.2`)
    for every program.
    """
    if accept is None or "html" not in accept.lower():
        return False
    rated = _rated(accept)
    if rated is None:
        return False
    html = max((rated[name] for name in _HTML_TYPES if name in rated), default=0.0)
    json = next((rated[name] for name in _JSON_TYPES if name in rated), 0.0)
    return html > json or (html > 0 and html == json and "application/json" not in rated)


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """Return the media type of `offered` that `accept` rates highest; the first one if it names none."""
    rated = _rated(accept or "") or {}
    return max(offered, key=lambda name: rated.get(name, 0.0))


def _rated(accept: str) -> Mapping[str, float] | None:
    """Weights by media type; None if the header is malformed."""
    rated: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (ows(piece).lower() for piece in part.split(";"))
        if media.count("/") != 1:
            return None
        weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        if _WEIGHT.fullmatch(weight) is None:
            return None
        rated.setdefault(media, float(weight))
    return rated
