"""Targets: tokens, signed messages and nonces."""

import contextlib
from itertools import combinations

import jwt

from provider.auth import messages
from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.token import create_token, decode_token
from provider.crypto.accounts import Account
from provider.errors import LinkUnknown, TokenExpired, TokenRefused
from provider.links.token import Link, LinkSeal, OrderedFile
from tests.fuzz.model import Target, as_text, lines

KEY = b"k" * 32
ADDRESS = "0x967da4048cD07aB37855c090aAF366e4ce1b9F48"
NOW = 1_700_000_000
SEAL = LinkSeal(Account.from_hex("11" * 32))


def tokens(data: bytes) -> None:
    """Only a token that we made is accepted; PyJWT is the judge. A changed one is refused."""
    text = as_text(data)
    with contextlib.suppress(TokenRefused, TokenExpired):
        token = decode_token(KEY, text, address=ADDRESS, now=NOW)
        claims = jwt.decode(text, KEY, algorithms=["HS256"], options={"verify_exp": False})
        assert (token.address, token.expires_at) == (ADDRESS, claims["exp"])
    made = create_token(KEY, address=ADDRESS, expires_at=NOW + 1 + len(data))
    assert decode_token(KEY, made, address=ADDRESS.lower(), now=NOW).expires_at == NOW + 1 + len(data)
    at = sum(data) % len(made)
    spoiled = f"{made[:at]}{'A' if made[at] != 'A' else 'B'}{made[at + 1 :]}"
    with contextlib.suppress(TokenRefused):
        decode_token(KEY, spoiled, address=ADDRESS, now=NOW)
        raise AssertionError("a spoiled token was accepted")


def link_tokens(data: bytes) -> None:
    """Only a token that we sealed under this name opens. A changed one is refused."""
    text, name = (as_text(part) for part in lines(data, 2))
    with contextlib.suppress(LinkUnknown):
        link = SEAL.open(text, name)
        assert SEAL.open(SEAL.seal(link, name), name) == link
    made = SEAL.seal(Link(OrderedFile("did:op:1", "1", "0x1", len(data)), ADDRESS, 1, 2, 3), "a")
    assert SEAL.open(made, "a").target == OrderedFile("did:op:1", "1", "0x1", len(data))
    at = sum(data) % (len(made) - 1)
    spoiled = f"{made[:at]}{'A' if made[at] != 'A' else 'B'}{made[at + 1 :]}"
    for token, ending in ((spoiled, "a"), (made, f"a{name}" if name else "")):
        with contextlib.suppress(LinkUnknown):
            SEAL.open(token, ending)
            raise AssertionError("a spoiled link was opened")


def signed_messages(data: bytes) -> None:
    """A text of the new family, which names its route, is no text of the old one, nor of another route."""
    document_id, job_id, index, nonce = (as_text(part) for part in lines(data, 4))
    nonce = nonce if parse_nonce(nonce) is not None else "1"
    routes = {
        messages.DOWNLOAD: messages.download(document_id=document_id, consumer=ADDRESS, nonce=nonce),
        messages.COMPUTE_START: messages.start_compute(
            consumer=ADDRESS, job_id=job_id, dataset_did=document_id, nonce=nonce
        ),
        messages.COMPUTE_STOP: messages.stop_compute(
            consumer=ADDRESS, job_id=job_id, document_id=document_id, nonce=nonce
        ),
        messages.COMPUTE_RESULT: messages.compute_result(consumer=ADDRESS, job_id=job_id, index=index, nonce=nonce),
        messages.CREATE_TOKEN: messages.create_auth_token(address=ADDRESS, nonce=nonce, node="node"),
        messages.INVALIDATE_TOKEN: messages.invalidate_token(address=ADDRESS, nonce=nonce),
        messages.CREATE_LINKS: messages.create_links(consumer=ADDRESS, nonce=nonce),
        messages.REVOKE_LINKS: messages.revoke_links(consumer=ADDRESS, nonce=nonce),
    }
    for command, texts in routes.items():
        assert len(set(texts)) == len(texts)
        for text in texts:
            is_new = text.startswith(tuple(f"{address}{nonce}" for address in (ADDRESS, ADDRESS.lower())))
            if is_new and text.endswith((command, f"{command}node")):
                continue
            # The old family ends with its nonce.
            assert text.endswith(nonce)
    for one, other in combinations(routes, 2):
        shared = set(routes[one]) & set(routes[other])
        assert not any(text.endswith((one, other)) for text in shared)


def nonces(data: bytes) -> None:
    """Nonces are finite, bounded decimals, and the store's texts sort as they do."""
    one, other = (as_text(part) for part in lines(data, 2))
    values = parse_nonce(one), parse_nonce(other)
    for value in values:
        assert value is None or (value.is_finite() and len(value.as_tuple().digits) <= 100)
    if values[0] is None or values[1] is None:
        assert is_greater(one, other) is None
        return
    assert is_greater(one, other) == (values[0] > values[1]) == (sortable(one) > sortable(other))
    assert (sortable(one) == sortable(other)) == (values[0] == values[1])


IDENTITY = (
    Target("tokens", tokens, max_bytes=1200),
    Target("link_tokens", link_tokens, max_bytes=2500),
    Target("signed_messages", signed_messages, max_bytes=512),
    Target("nonces", nonces, max_bytes=300),
)
