"""The page for a person whose browser opened a download that is refused. Programs get JSON."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from provider.errors import ProviderError


@dataclass(frozen=True, slots=True)
class _Parts:
    html: Template
    style: str
    policy: str


@cache
def _parts() -> _Parts:
    pages = files("provider.handlers") / "pages"
    style = (pages / "refusal.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _Parts(Template((pages / "refusal.html").read_text("utf-8")), style, policy)


def refusal_page(error: ProviderError, request_id: str) -> tuple[bytes, str]:
    """Return the page with cause, remedy and code of `error`, and its Content Security Policy.

    The first call reads packaged files of a few kilobytes.
    """
    parts = _parts()
    html = parts.html.substitute(
        style=parts.style,
        cause=escape(error.public_text),
        remedy=escape(error.remedy.replace("`", "")),
        code=escape(error.code),
        request_id=escape(request_id),
    )
    return html.encode(), parts.policy
