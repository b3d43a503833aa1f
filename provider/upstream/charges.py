"""Who pays for requests to origins and for bytes read of them only to inspect a file.

A handler of requests that anybody may send charges its ticket; every request to an origin that is made on its behalf
is then charged where it is sent, redirects, retries and further gateways included. A paid download charges nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace

from provider.admission.entry import Ticket


@dataclass(frozen=True, slots=True)
class _Payer:
    """`request` is called for each request that is sent, `read` with the number of bytes that were read.

    `check_read` raises TooManyRequests while bytes are owed.
    """

    request: Callable[[], None]
    read: Callable[[int], None]
    check_read: Callable[[], None]


_payer: ContextVar[_Payer | None] = ContextVar("payer", default=None)


def charged_to(ticket: Ticket | None) -> AbstractContextManager[None]:
    """Charge the ticket's client for work done within, and in tasks begun there; nobody where nothing is counted."""
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
    """The first request within is paid for already, as part of the file that it asks for."""
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
    """A request is about to be sent."""
    payer = _payer.get()
    if payer is not None:
        payer.request()


def charge_bytes(count: int) -> None:
    """So many bytes were read."""
    payer = _payer.get()
    if payer is not None:
        payer.read(count)


def check_bytes() -> None:
    """Bytes are about to be read for a checksum. Raises TooManyRequests."""
    payer = _payer.get()
    if payer is not None:
        payer.check_read()
