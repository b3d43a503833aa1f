"""Targets: what nodes answer, and the logs that strangers' contracts emit."""

import contextlib

from provider.chain.events import (
    metadata_event,
    nft_created,
    order_reused,
    order_started,
    parse_logs,
    parse_receipt,
    provider_fee,
    state_event,
)
from provider.chain.jsonrpc import MalformedReply, decode
from provider.errors import ChainError
from tests.fuzz.model import Target, as_json


def rpc_replies(data: bytes) -> None:
    """One value per call or a reply that is refused as a whole."""
    for count in (1, 2, 3):
        with contextlib.suppress(MalformedReply):
            assert len(decode(data, count)) == count


def receipts(data: bytes) -> None:
    """A receipt, none, or `ChainError`; a log that does not decode is no event."""
    value = as_json(data)
    with contextlib.suppress(ChainError):
        parse_receipt(value)
    with contextlib.suppress(ChainError):
        for log in parse_logs(value.get("logs") if isinstance(value, dict) else value):
            for read in (order_started, order_reused, provider_fee, metadata_event, state_event, nft_created):
                event = read(log)
                assert event is None or event.emitter == log.address


CHAIN = (Target("rpc_replies", rpc_replies), Target("receipts", receipts, max_bytes=8192))
