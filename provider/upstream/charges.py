"""Charges requests to origins, and bytes read only to inspect a file, to whoever caused them.

The handler of a request that anyone may send names its ticket. Every request sent to an origin on its behalf is then
charged, including redirects, retries and further gateways. A paid download names none, so nothing is charged.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace

from provider.admission.entry import Ticket


@dataclass(frozen=True, slots=True)
class _Payer:
    """Receives the charges.

    Args:
        request: called for each request that is sent.
        read: called with the number of bytes that were read.
        check_read: raises TooManyRequests while earlier bytes are not paid off.
    """

    request: Callable[[], None]
    read: Callable[[int], None]
    check_read: Callable[[], None]


_payer: ContextVar[_Payer | None] = ContextVar("payer", default=None)


def charged_to(ticket: Ticket | None) -> AbstractContextManager[None]:
    """Charge the ticket's client for the work done inside this context, and in tasks started there."""
    if ticket is None:
        return nullcontext()
    return _paying(_Payer(lambda: ticket.charge_requests(1), ticket.charge, ticket.check_pace))


@contextmanager
def _paying(payer: _Payer) -> Iterator[None]:
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

    with _paying(replace(payer, request=request)):
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
