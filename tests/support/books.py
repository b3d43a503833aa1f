"""Uses of datasets, as endpoints enter them into the books."""

from provider.books.record import Use
from provider.errors.fault import fault_of

NOW = 1_800_000_000.0
ANN, BOB = "0x" + "A" * 40, "0x" + "B" * 40


def did(number: int) -> str:
    return f"did:op:{number:064x}"


def use(
    number: int = 1,
    consumer: str = ANN,
    outcome: str = "complete",
    *,
    at: float = NOW,
    sent_bytes: int = 100,
    cached_bytes: int = 0,
    link: str = "",
    is_bought: bool = True,
    is_part: bool = False,
) -> Use:
    return Use(
        consumer=consumer,
        did=did(number),
        service_id="s",
        file_index=0,
        order_tx_id="0x" + "c" * 64,
        chain_id=1,
        link=link,
        is_bought=is_bought,
        endpoint="link" if link else "download",
        ended_at=at,
        outcome=outcome,
        fault=None if outcome == "complete" else fault_of(outcome),
        sent_bytes=sent_bytes,
        cached_bytes=cached_bytes,
        is_part=is_part,
        path="copy",
        seconds=0.5,
    )
