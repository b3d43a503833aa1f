"""Events of receipts and logs: encoded by eth_abi, read by us; malformed ones are skipped or a node's fault."""

import copy
import json
from importlib import resources

import pytest
from eth_abi import encode
from eth_utils import event_abi_to_log_topic, event_signature_to_log_topic, to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from provider.chain import events
from provider.chain.events import (
    MetadataEvent,
    NftCreated,
    OrderReused,
    OrderStarted,
    ProviderFee,
    StateEvent,
    parse_logs,
    parse_receipt,
)
from provider.chain.jsonrpc import RpcFault
from provider.errors import ChainError

TX = "0x" + "ab" * 32
TOKEN = to_checksum_address("0x" + "d2" * 20)
CONSUMER = to_checksum_address("0x" + "c3" * 20)
PAYER = to_checksum_address("0x" + "e4" * 20)
MARKET = to_checksum_address("0x" + "f5" * 20)
PROVIDER = to_checksum_address("0x" + "a6" * 20)
FEE_TOKEN = to_checksum_address("0x" + "b7" * 20)

METADATA_TYPES = ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"]
FEE_TYPES = ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"]


def topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def raw_log(topics: list[str], data: bytes, *, emitter: str = TOKEN, index: int = 0, block: int = 100) -> dict:
    return {
        "address": emitter.lower(),
        "topics": topics,
        "data": "0x" + data.hex(),
        "blockNumber": hex(block),
        "transactionHash": TX,
        "transactionIndex": "0x0",
        "blockHash": "0x" + "00" * 32,
        "logIndex": hex(index),
        "removed": False,
    }


def started_log(*, index: int = 0, emitter: str = TOKEN, service: int = 1) -> dict:
    data = encode(["address"] + ["uint256"] * 4, [PAYER, 10**18, service, 1_700_000_000, 100])
    return raw_log([events.ORDER_STARTED, topic(CONSUMER), topic(MARKET)], data, index=index, emitter=emitter)


def reused_log(*, index: int = 0) -> dict:
    data = encode(["bytes32", "address", "uint256", "uint256"], [b"\xcd" * 32, CONSUMER, 1_700_000_500, 100])
    return raw_log([events.ORDER_REUSED], data, index=index)


def fee_log(*, index: int = 0, provider_data: bytes = b'{"dt":"x"}') -> dict:
    data = encode(FEE_TYPES, [5, provider_data, 28, b"\x01" * 32, b"\x02" * 32, 1_700_003_600])
    return raw_log([events.PROVIDER_FEE, topic(PROVIDER), topic(FEE_TOKEN)], data, index=index)


def metadata_log(kind: str = events.METADATA_CREATED, *, index: int = 0, flags: bytes = b"\x02") -> dict:
    values = [0, "https://provider.example", flags, b"document", b"\x0a" * 32, 1_700_000_000, 100]
    return raw_log([kind, topic(CONSUMER)], encode(METADATA_TYPES, values), index=index)


def receipt(logs: list[object] | None, **changes: object) -> dict:
    return {
        "transactionHash": TX.upper().replace("0X", "0x"),
        "blockNumber": "0x64",
        "status": "0x1",
        "logs": logs,
        "type": "0x2",
        **changes,
    }


SIGNATURES = {
    "OrderStarted(address,address,uint256,uint256,uint256,address,uint256)": events.ORDER_STARTED,
    "OrderReused(bytes32,address,uint256,uint256)": events.ORDER_REUSED,
    "ProviderFee(address,address,uint256,bytes,uint8,bytes32,bytes32,uint256)": events.PROVIDER_FEE,
    "MetadataCreated(address,uint8,string,bytes,bytes,bytes32,uint256,uint256)": events.METADATA_CREATED,
    "MetadataUpdated(address,uint8,string,bytes,bytes,bytes32,uint256,uint256)": events.METADATA_UPDATED,
    "MetadataState(address,uint8,uint256,uint256)": events.METADATA_STATE,
    "NFTCreated(address,address,string,address,string,string,bool,address)": events.NFT_CREATED,
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_topics_follow_from_their_signatures(signature: str) -> None:
    assert SIGNATURES[signature] == "0x" + event_signature_to_log_topic(signature).hex()


@pytest.mark.parametrize(
    ("contract", "name", "expected", "indexed"),
    [
        ("ERC20Template", "OrderStarted", events.ORDER_STARTED, 2),
        ("ERC20TemplateEnterprise", "OrderStarted", events.ORDER_STARTED, 2),
        ("ERC20Template4", "OrderStarted", events.ORDER_STARTED, 2),
        ("ERC20Template", "OrderReused", events.ORDER_REUSED, 0),
        ("ERC20Template", "ProviderFee", events.PROVIDER_FEE, 2),
        ("ERC20TemplateEnterprise", "ProviderFee", events.PROVIDER_FEE, 2),
        ("ERC721Template", "MetadataCreated", events.METADATA_CREATED, 1),
        ("ERC721Template", "MetadataUpdated", events.METADATA_UPDATED, 1),
        ("ERC721Template", "MetadataState", events.METADATA_STATE, 1),
        ("ERC721Factory", "NFTCreated", events.NFT_CREATED, 3),
    ],
)
def test_topics_are_those_of_the_published_contracts(contract: str, name: str, expected: str, indexed: int) -> None:
    abi = json.loads(resources.files("artifacts").joinpath(f"{contract}.json").read_text())["abi"]
    (event,) = [item for item in abi if item["type"] == "event" and item["name"] == name]
    assert "0x" + event_abi_to_log_topic(event).hex() == expected
    assert sum(item["indexed"] for item in event["inputs"]) == indexed


def test_every_event_of_a_receipt_is_read() -> None:
    parsed = parse_receipt(
        receipt(
            [
                started_log(index=1),
                reused_log(index=2),
                fee_log(index=3),
                metadata_log(index=4),
                metadata_log(events.METADATA_UPDATED, index=5, flags=b""),
            ]
        )
    )
    assert parsed is not None
    assert (parsed.tx_id, parsed.succeeded, parsed.block_number) == (TX, True, 100)
    assert parsed.order_started == (OrderStarted(TOKEN, CONSUMER, PAYER, 10**18, 1, timestamp=1_700_000_000, tx_id=TX),)
    assert parsed.order_reused == (OrderReused(TOKEN, "0x" + "cd" * 32, CONSUMER, timestamp=1_700_000_500),)
    assert parsed.provider_fees == (
        ProviderFee(
            TOKEN,
            PROVIDER,
            FEE_TOKEN,
            5,
            b'{"dt":"x"}',
            v=28,
            r=b"\x01" * 32,
            s=b"\x02" * 32,
            valid_until=1_700_003_600,
        ),
    )
    created = MetadataEvent(
        emitter=TOKEN,
        sender=CONSUMER,
        kind="created",
        state=0,
        decryptor_url="https://provider.example",
        flags=b"\x02",
        data=b"document",
        document_hash=b"\x0a" * 32,
        block_number=100,
        log_index=4,
        tx_id=TX,
    )
    first, second = parsed.metadata
    assert first == created
    assert (second.kind, second.flags, second.log_index) == ("updated", b"", 5)


def test_events_are_in_the_order_of_the_log() -> None:
    parsed = parse_receipt(receipt([started_log(index=10, service=2), started_log(index=9, service=1)]))
    assert parsed is not None
    assert [event.service_index for event in parsed.order_started] == [1, 2]


@pytest.mark.parametrize("raw", [None, receipt([], blockNumber=None)], ids=["unknown", "pending"])
def test_a_transaction_that_is_not_mined_has_no_receipt(raw: object) -> None:
    assert parse_receipt(raw) is None


@pytest.mark.parametrize(("status", "succeeded"), [("0x1", True), ("0x0", False)])
def test_the_status_tells_success(status: str, succeeded: bool) -> None:
    parsed = parse_receipt(receipt([], status=status))
    assert parsed is not None
    assert parsed.succeeded is succeeded


@pytest.mark.parametrize(
    "raw",
    [
        "0x1",
        [],
        RpcFault(-32603, "internal"),
        receipt([], status=None),
        receipt([], status="1"),
        receipt([], blockNumber=5),
        receipt([], blockNumber="0x8000000000000000"),
        receipt([{**started_log(), "logIndex": "0x" + "f" * 64}]),
        receipt([], transactionHash="0x12"),
        receipt([], transactionHash=None),
        receipt(None),
        receipt(["log"]),
        receipt([{"topics": "x"}]),
        receipt([{**started_log(), "address": "0x12"}]),
        receipt([{**started_log(), "address": None}]),
        receipt([{**started_log(), "data": None}]),
        receipt([{**started_log(), "data": "0x0"}]),
        receipt([{**started_log(), "logIndex": None}]),
        receipt([{**started_log(), "transactionHash": "0x"}]),
        receipt([{**started_log(), "topics": [events.ORDER_STARTED, 5, None]}]),
    ],
    ids=repr,
)
def test_json_that_no_node_should_send_is_a_chain_error(raw: object) -> None:
    with pytest.raises(ChainError):
        parse_receipt(raw)


def undecodable(log: dict, **changes: object) -> dict:
    return {**copy.deepcopy(log), **changes}


@pytest.mark.parametrize(
    "log",
    [
        undecodable(started_log(), topics=[events.ORDER_STARTED]),
        undecodable(started_log(), topics=[events.ORDER_STARTED, topic(CONSUMER), topic(MARKET), topic(MARKET)]),
        undecodable(started_log(), topics=[events.ORDER_STARTED, "0x" + "ff" * 32, topic(MARKET)]),
        undecodable(started_log(), topics=[events.ORDER_STARTED, "0x12", topic(MARKET)]),
        undecodable(started_log(), data="0x"),
        undecodable(started_log(), data="0x" + "ff" * 160),
        undecodable(reused_log(), data="0x" + "00" * 63),
        undecodable(fee_log(), data="0x" + "ff" * 192),
        undecodable(fee_log(), topics=[events.PROVIDER_FEE, topic(PROVIDER)]),
        undecodable(metadata_log(), data="0x" + "00" * 31),
        undecodable(metadata_log(), data="0x" + "ff" * 224),
        undecodable(started_log(), topics=[]),
        undecodable(started_log(), topics=["0x" + "11" * 32], data="0x"),
    ],
    ids=range(13),
)
def test_an_event_that_does_not_decode_is_skipped(log: dict) -> None:
    parsed = parse_receipt(receipt([log, started_log(index=7), fee_log(index=8), metadata_log(index=9)]))
    assert parsed is not None
    counts = [len(parsed.order_started), len(parsed.order_reused), len(parsed.provider_fees), len(parsed.metadata)]
    assert counts == [1, 0, 1, 1]


def test_upper_case_topics_and_lower_case_addresses_are_read() -> None:
    log = started_log()
    log["topics"] = [item.upper().replace("0X", "0x") for item in log["topics"]]
    parsed = parse_receipt(receipt([log]))
    assert parsed is not None
    (event,) = parsed.order_started
    assert (event.emitter, event.consumer) == (TOKEN, CONSUMER)


def test_the_decryptor_url_may_be_any_bytes() -> None:
    values = [0, b"\xff\xfe", b"", b"", bytes(32), 0, 0]
    data = encode(["uint8", "bytes", "bytes", "bytes", "bytes32", "uint256", "uint256"], values)
    parsed = parse_receipt(receipt([raw_log([events.METADATA_CREATED, topic(CONSUMER)], data)]))
    assert parsed is not None
    assert parsed.metadata[0].decryptor_url == "��"


def test_logs_are_in_the_order_of_the_chain_and_without_removed_ones() -> None:
    first, second, third = (
        raw_log([], b"", block=5, index=9),
        raw_log([], b"", block=6, index=0),
        raw_log([], b"", block=6, index=1),
    )
    removed = {**raw_log([], b"", block=1), "removed": True}
    parsed = parse_logs([third, removed, first, second])
    assert [(log.block_number, log.log_index) for log in parsed] == [(5, 9), (6, 0), (6, 1)]


def test_logs_of_the_indexer_are_read() -> None:
    state = raw_log([events.METADATA_STATE, topic(CONSUMER)], encode(["uint8", "uint256", "uint256"], [3, 1, 1]))
    created_data = encode(
        ["address", "string", "string", "string", "bool"], [TOKEN, "name", "symbol", "https://x", True]
    )
    created = raw_log(
        [events.NFT_CREATED, topic(MARKET), topic(PAYER), topic(CONSUMER)], created_data, emitter=MARKET, index=1
    )
    state_log, created_log = parse_logs([state, created])
    assert events.state_event(state_log) == StateEvent(TOKEN, 3, 100, 0, TX)
    assert events.nft_created(created_log) == NftCreated(MARKET, TOKEN, 100, 1, TX)
    assert events.state_event(created_log) is None
    assert events.nft_created(state_log) is None
    assert events.metadata_event(state_log) is None


@pytest.mark.parametrize(
    "raw", [None, {}, "0x", RpcFault(-32005, "too many results"), [None], [{"topics": []}]], ids=repr
)
def test_logs_that_are_no_logs_are_a_chain_error(raw: object) -> None:
    with pytest.raises(ChainError):
        parse_logs(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["0x", "0x1", TX, TOKEN, events.ORDER_STARTED]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*receipt([]), *started_log()]), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_json_causes_another_error(raw: object) -> None:
    for parse in (parse_receipt, parse_logs):
        try:
            parse(raw)
        except ChainError:
            pass


@given(
    st.sampled_from([started_log(), reused_log(), fee_log(), metadata_log()]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_no_change_of_the_data_causes_an_error(log: dict, flips: list[tuple[int, int]], length: int) -> None:
    data = bytearray(bytes.fromhex(log["data"][2:]))
    for position, value in flips:
        data[position % len(data)] = value
    parsed = parse_receipt(receipt([{**log, "data": "0x" + bytes(data[:length]).hex()}]))
    assert parsed is not None
