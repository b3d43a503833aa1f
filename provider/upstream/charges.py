"""Who pays for requests to origins and for bytes read of them only to inspect a file.

The handler of a request that anybody may send names a `Payer`; every request to an origin that is made on its behalf
is then charged where it is sent, redirects, retries and further gateways included. Without a payer nothing is charged:
that is a paid download.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Payer:
    """`request` is called for each request that is sent, `read` with the number of bytes that were read.

    `check_read` raises TooManyRequests while bytes are owed.
    """

    request: Callable[[], None]
    read: Callable[[int], None]
    check_read: Callable[[], None]


_payer: ContextVar[Payer | None] = ContextVar("payer", default=None)


@contextmanager
def charged_to(payer: Payer) -> Iterator[None]:
    """Charge what is done within, and in tasks begun there."""
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

    with charged_to(replace(payer, request=request)):
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
