"""Who pays for requests to origins, and which of them are free."""

from typing import Any

import pytest

from provider.errors import TooManyRequests
from provider.upstream.charges import charge_bytes, charge_request, charged_to, check_bytes, first_request_paid


class Till:
    """The charges of a ticket."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.owes = False

    def charge_requests(self, count: int) -> None:
        self.requests += count

    def charge(self, size_bytes: int) -> None:
        self.bytes += size_bytes

    def check_pace(self) -> None:
        if self.owes:
            raise TooManyRequests


def test_each_request_and_byte_is_charged_but_the_first_request_that_was_paid() -> None:
    till: Any = Till()
    with charged_to(till):
        charge_request()
        with first_request_paid():
            charge_request()
            assert till.requests == 1
            charge_request()
            charge_request()
            charge_bytes(10)
        charge_request()
    assert (till.requests, till.bytes) == (4, 10)


def test_bytes_are_not_read_while_earlier_ones_are_owed() -> None:
    till: Any = Till()
    with charged_to(till), first_request_paid():
        check_bytes()
        till.owes = True
        with pytest.raises(TooManyRequests):
            check_bytes()


def test_a_download_that_was_paid_for_charges_nobody() -> None:
    till: Any = Till()
    with charged_to(till), charged_to(None):
        pass
    with charged_to(None), first_request_paid():
        charge_request()
        charge_bytes(10)
        check_bytes()
    charge_request()
    assert (till.requests, till.bytes) == (0, 0)
