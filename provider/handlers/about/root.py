"""`GET /`: the identity, chains and endpoints of this Provider, as JSON or, for browsers, as a page."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Self

import orjson

from provider import __version__
from provider.auth import messages
from provider.chain.networks import Networks
from provider.crypto.accounts import compressed_public_key
from provider.handlers.accept import wants_page
from provider.handlers.base import Endpoint
from provider.handlers.routes import (
    COMPUTE_ENDPOINTS,
    LINK_ENDPOINTS,
    NODE_ENDPOINTS,
    POLICY_ENDPOINTS,
    SERVICE_ENDPOINTS,
)
from provider.override import override

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath fill='none' stroke='%230b8293' stroke-width='2.4' stroke-linecap='round' "
    "d='M1.5 5.5c2.2-3 4.3-3 6.5 0s4.3 3 6.5 0M1.5 11c2.2-3 4.3-3 6.5 0s4.3 3 6.5 0'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of this Provider for clients of ocean-node, where a node has one address: that of the first chain.

    `public_key`: compressed, hex with `0x`. `networks`: ids and names of all chains.
    """

    address: str
    public_key: str
    node_id: str
    networks: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, networks: Networks) -> Self:
        """Make it from the configured chains, of which there is at least one."""
        account = next(iter(networks)).account
        return cls(
            address=account.address,
            public_key="0x" + compressed_public_key(account.public_key).hex(),
            node_id=messages.node_id(account.address),
            networks=tuple((network.chain_id, network.name) for network in networks),
        )


def describe(networks: Networks, *, has_policy_server: bool = False, has_compute: bool = False) -> bytes:
    """Return the root document (`provider-api.md` section 3). No node is asked, because every client begins here.

    It serves clients of Provider 2.1 and of ocean-node: `providerAddresses` and
    `providerAddress`, and both sets of endpoint names, which clients match in any case.
    """
    identity = Identity.of(networks)
    endpoints = {
        **SERVICE_ENDPOINTS,
        **NODE_ENDPOINTS,
        **(POLICY_ENDPOINTS if has_policy_server else {}),
        **(COMPUTE_ENDPOINTS if has_compute else {}),
    }
    return orjson.dumps(
        {
            "software": "Provider",
            "version": __version__,
            "chainIds": list(networks.chain_ids),
            "providerAddresses": {str(network.chain_id): network.account.address for network in networks},
            "providerAddress": identity.address,
            "nodeId": identity.node_id,
            "nodePublicKey": identity.public_key,
            "serviceEndpoints": {name: list(route) for name, route in endpoints.items()},
            # Apart from the others, since some clients count those.
            "linkEndpoints": {name: list(route) for name, route in LINK_ENDPOINTS.items()},
        },
        option=orjson.OPT_APPEND_NEWLINE,
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


def page_of(networks: Networks) -> Callable[[], Page]:
    """Return a function that makes the page at its first call: most servers never need it."""

    @cache
    def page() -> Page:
        identity = Identity.of(networks)
        return build_page(
            [(network.name, network.chain_id, network.account.address) for network in networks],
            {**SERVICE_ENDPOINTS, **NODE_ENDPOINTS, **LINK_ENDPOINTS},
            node_id=identity.node_id,
            public_key=identity.public_key,
        )

    return page


@dataclass(frozen=True, slots=True)
class RootDeps:
    """`document` comes from `describe`, `page` from `page_of`."""

    document: bytes
    page: Callable[[], Page]


class RootEndpoint(Endpoint[RootDeps]):
    """Replies with the document made at start, or with the page if the client prefers HTML."""

    endpoint = "root"

    @override
    async def handle(self) -> None:
        headers = self.request.headers
        self.set_header("Vary", "Accept" if headers.get("Origin") is None else "Origin, Accept")
        if wants_page(headers.get("Accept")):
            await self._show()
            return
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(self.deps.document)))
        self.write(self.deps.document)

    async def _show(self) -> None:
        page = await asyncio.to_thread(self.deps.page)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", page.policy)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Length", str(len(page.body)))
        self.write(page.body)
