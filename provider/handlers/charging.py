"""The client of a request as the payer of what is done for it."""

from provider.admission.entry import Ticket
from provider.upstream.charges import Payer


def payer(ticket: Ticket | None) -> Payer:
    """Charges requests and bytes to the ticket's client; to nobody where nothing is counted."""
    if ticket is None:
        return Payer(lambda: None, lambda _: None, lambda: None)
    return Payer(lambda: ticket.charge_requests(1), ticket.charge, ticket.check_pace)
