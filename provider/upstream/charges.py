"""Charges requests to origins, and bytes read only to inspect a file, to whoever caused them.

The handler of a request that anyone may send names a `Payer`. Every request sent to an origin on its behalf is then
charged, including redirects, retries and further gateways. Without a payer nothing is charged: that is a paid download.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Payer:
    """Receives the charges.

    Args:
        request: called for each request that is sent.
        read: called with the number of bytes that were read.
        check_read: raises TooManyRequests while earlier bytes are not paid off.
    """

    request: Callable[[], None]
    read: Callable[[int], None]
    check_read: Callable[[], None]


_payer: ContextVar[Payer | None] = ContextVar("payer", default=None)


@contextmanager
def charged_to(payer: Payer) -> Iterator[None]:
    """Charge the work done inside this context, and in tasks started there."""
    token = _payer.set(payer)
    try:
        yield
    finally:
        _payer.reset(token)


@contextmanager
def first_request_paid() -> Iterator[None]:
    """Do not charge the first request inside: it was paid for as part of its file."""
    payer = _payer.get()
    if payer is None:
        yield
        return
    sent = 0

    def request() -> None:
        nonlocal sent
        sent += 1
        if sent > 1:
            payer.request()

    with charged_to(replace(payer, request=request)):
        yield


def charge_request() -> None:
    """Charge a request that is about to be sent."""
    payer = _payer.get()
    if payer is not None:
        payer.request()


def charge_bytes(count: int) -> None:
    """Charge `count` bytes that were read."""
    payer = _payer.get()
    if payer is not None:
        payer.read(count)


def check_bytes() -> None:
    """Check that bytes may be read for a checksum. Raises TooManyRequests."""
    payer = _payer.get()
    if payer is not None:
        payer.check_read()
