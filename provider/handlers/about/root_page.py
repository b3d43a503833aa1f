"""`GET /` for people: makes a page of the facts of the root document. It loads nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from provider import __version__

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath fill='none' stroke='%230b8293' stroke-width='2.4' stroke-linecap='round' "
    "d='M1.5 5.5c2.2-3 4.3-3 6.5 0s4.3 3 6.5 0M1.5 11c2.2-3 4.3-3 6.5 0s4.3 3 6.5 0'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its Content Security Policy."""

    body: bytes
    policy: str


def build_page(
    chains: Iterable[tuple[str, int, str]],
    endpoints: Mapping[str, tuple[str, str]],
    *,
    node_id: str,
    public_key: str,
) -> Page:
    """Return the page. Every reference is relative, so that it works behind a path prefix.

    Args:
        chains: name, id and our address of each.
        endpoints: method and path by name.
        node_id: our id for clients of ocean-node.
        public_key: the key of that id, compressed hex.
    """
    pages = files("provider.handlers.about") / "pages"
    style = (pages / "root.css").read_text("utf-8")
    html = Template((pages / "root.html").read_text("utf-8")).substitute(
        version=escape(__version__),
        icon=ICON,
        style=style,
        chains="\n".join(_chain(*chain) for chain in chains),
        endpoints="\n".join(_endpoint(name, method, path) for name, (method, path) in endpoints.items()),
        node_id=escape(node_id),
        public_key=escape(public_key),
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html.encode(), policy)


def _chain(name: str, chain_id: int, address: str) -> str:
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="number">{chain_id}</td>'
        f'<td class="code address">{escape(address)}</td></tr>'
    )


def _endpoint(name: str, method: str, path: str) -> str:
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="code">{escape(method)}</td>'
        f'<td class="code">{escape(path)}</td></tr>'
    )
