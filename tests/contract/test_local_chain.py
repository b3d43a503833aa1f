"""The demo's chain is a real one: real contracts, the events of `provider-api.md` section 8.1, a node's manners."""

import http.client
import json
import time
from typing import Any

import pytest
from eth_account import Account
from web3.exceptions import ContractLogicError

from provider.testing.chain.contracts import TEMPLATE_ENTERPRISE, contract_at
from provider.testing.chain.keys import FUNDED_KEYS, PROVIDER_KEY, SPARE_KEYS
from provider.testing.chain.wallet import TransactionReverted
from provider.testing.market import forge
from provider.testing.market.consumer import NO_MARKET_FEE, Consumer, fee_tuple
from provider.testing.market.publisher import Published, Publisher, did_for
from provider.testing.stage import DemoChain

ORDER_STARTED = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
ORDER_REUSED = "0x526e31449ea46e2aecf9b480c8d7dfa191348ef74ffdf75b445a6ab726daa6ff"
PROVIDER_FEE = "0xf8ed11cdaaf10eca2b6c941fb802cb8682afe86cac1eb93f70d0780fa062c544"
METADATA_CREATED = "0x5463569dcc320958360074a9ab27e809e8a6942c394fb151d139b5f7b4ecb1bd"
METADATA_UPDATED = "0xe5c4cf86b1815151e6f453e1e133d4454ae3b0b07145db39f2e0178685deac84"
METADATA_STATE = "0xa8336411cc72db0e5bdc4dff989eeb35879bafaceffb59b54b37645c3395adb9"


def receipt_of(chain: DemoChain, tx: str) -> dict[str, Any]:
    return chain.rpc("eth_getTransactionReceipt", tx)


def words(data: str) -> list[int]:
    body = data[2:]
    return [int(body[at : at + 64], 16) for at in range(0, len(body), 64)]


def as_topic(address: str) -> str:
    return "0x" + "00" * 12 + address[2:].lower()


def logs_with(receipt: dict[str, Any], topic: str) -> list[dict[str, Any]]:
    return [log for log in receipt["logs"] if log["topics"][0] == topic]


@pytest.fixture(scope="module")
def order_tx(offline_publisher: Publisher, consumer: Consumer, published: Published, chain: DemoChain) -> str:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    return consumer.order(published, fee=unsigned_free_fee(chain))


def unsigned_free_fee(chain: DemoChain, data: bytes = b"{}") -> dict[str, Any]:
    """A fee that some other provider signed: the contract only asks for a signature of the address it names."""
    account = Account.from_key(SPARE_KEYS[0])
    token = chain.contracts.ocean
    packed = data + bytes.fromhex(account.address[2:] + token[2:]) + bytes(64)
    signature = chain.wallet(SPARE_KEYS[0]).sign_hash(chain.w3.keccak(packed))
    return {
        "providerFeeAddress": account.address,
        "providerFeeToken": token,
        "providerFeeAmount": "0",
        "providerData": "0x" + data.hex(),
        "r": signature[:66],
        "s": "0x" + signature[66:130],
        "v": int(signature[130:], 16),
        "validUntil": 0,
    }


def test_chain_id_is_that_of_barge(chain: DemoChain) -> None:
    assert chain.rpc("eth_chainId") == hex(8996)
    assert chain.rpc("net_version") == "8996"


def test_every_demo_account_has_ether(chain: DemoChain) -> None:
    for key in FUNDED_KEYS:
        assert chain.w3.eth.get_balance(Account.from_key(key).address) > 10**20


def test_order_emits_order_started_and_provider_fee_of_the_datatoken(
    chain: DemoChain, order_tx: str, published: Published, consumer: Consumer
) -> None:
    receipt = receipt_of(chain, order_tx)
    (started,) = logs_with(receipt, ORDER_STARTED)
    (fee,) = logs_with(receipt, PROVIDER_FEE)
    assert started["address"] == fee["address"] == published.datatokens[0]
    assert started["topics"][1:] == [as_topic(consumer.address), as_topic("0x" + "00" * 20)]
    payer, amount, service_index, timestamp, block = words(started["data"])
    assert payer == int(consumer.address, 16)
    assert (amount, service_index) == (10**18, 0)
    assert hex(block) == receipt["blockNumber"]
    assert timestamp == int(chain.rpc("eth_getBlockByNumber", receipt["blockNumber"], False)["timestamp"], 16)


def test_signed_provider_fee_is_accepted_by_the_contract(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published, signed_fee: Any
) -> None:
    offline_publisher.mint(published.datatokens[1], consumer.address)
    fee = signed_fee(published.datatokens[1], published.service(1)["id"])
    receipt = receipt_of(chain, consumer.order(published, 1, fee=fee))
    (log,) = logs_with(receipt, PROVIDER_FEE)
    assert log["topics"][1] == as_topic(Account.from_key(PROVIDER_KEY).address)
    assert bytes.fromhex(fee["providerData"][2:]) in bytes.fromhex(log["data"][2:])
    assert words(logs_with(receipt, ORDER_STARTED)[0]["data"])[2] == 1


def test_fee_with_a_wrong_signature_reverts_with_status_zero(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published, signed_fee: Any
) -> None:
    offline_publisher.mint(published.datatokens[1], consumer.address)
    fee = {**signed_fee(published.datatokens[1], published.service(1)["id"]), "providerFeeAmount": "1"}
    with pytest.raises(TransactionReverted) as caught:
        consumer.order(published, 1, fee=fee)
    receipt = receipt_of(chain, caught.value.tx_id)
    assert receipt["status"] == "0x0"
    assert receipt["logs"] == []


def test_reuse_names_the_first_order_and_costs_only_the_fee(
    chain: DemoChain, order_tx: str, published: Published, consumer: Consumer
) -> None:
    reuse_tx = consumer.reuse_order(published, order_tx, fee=unsigned_free_fee(chain))
    receipt = receipt_of(chain, reuse_tx)
    (reused,) = logs_with(receipt, ORDER_REUSED)
    assert reused["address"] == published.datatokens[0]
    assert words(reused["data"])[:2] == [int(order_tx, 16), int(consumer.address, 16)]
    assert logs_with(receipt, PROVIDER_FEE)
    assert not logs_with(receipt, ORDER_STARTED)


def test_many_orders_in_one_transaction_are_paid_by_the_factory(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published, monkeypatch: Any
) -> None:
    for datatoken in published.datatokens:
        offline_publisher.mint(datatoken, consumer.address)
    monkeypatch.setattr(consumer, "initialize", lambda *_: {"providerFee": unsigned_free_fee(chain)})
    tx = consumer.order_many(chain.contracts.factory, [(published, 0), (published, 1)])
    started = logs_with(receipt_of(chain, tx), ORDER_STARTED)
    assert {log["address"] for log in started} == set(published.datatokens)
    assert {words(log["data"])[0] for log in started} == {int(chain.contracts.factory, 16)}


def test_enterprise_template_orders_emit_the_same_events(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer
) -> None:
    _, datatoken = offline_publisher.create_nft(template=TEMPLATE_ENTERPRISE)
    token = contract_at(chain.w3, "ERC20Template", datatoken).functions
    assert token.getId().call() == TEMPLATE_ENTERPRISE
    offline_publisher.mint(datatoken, consumer.address)
    order = token.startOrder(consumer.address, 0, fee_tuple(unsigned_free_fee(chain)), NO_MARKET_FEE)
    receipt = receipt_of(chain, consumer.wallet.send(order)["transactionHash"].to_0x_hex())
    assert [log["address"] for log in logs_with(receipt, ORDER_STARTED)] == [datatoken]
    assert [log["address"] for log in logs_with(receipt, PROVIDER_FEE)] == [datatoken]


def test_nft_is_known_to_its_factory_and_knows_its_datatokens(chain: DemoChain, published: Published) -> None:
    factory = contract_at(chain.w3, "ERC721Factory", chain.contracts.factory).functions
    nft = contract_at(chain.w3, "ERC721Template", published.data_nft).functions
    assert factory.erc721List(published.data_nft).call() == published.data_nft
    assert all(nft.isDeployed(datatoken).call() for datatoken in published.datatokens)
    assert not nft.isDeployed(chain.contracts.ocean).call()
    assert published.did == did_for(published.data_nft.lower(), 8996)


def test_metadata_is_created_then_updated_and_its_state_can_change(
    chain: DemoChain, offline_publisher: Publisher
) -> None:
    data_nft, _ = offline_publisher.create_nft()
    for flags, topic in ((2, METADATA_CREATED), (0, METADATA_UPDATED), (1, METADATA_UPDATED), (3, METADATA_UPDATED)):
        receipt = receipt_of(chain, offline_publisher.set_metadata(data_nft, b'{"a":1}', flags=flags))
        assert [log["address"] for log in logs_with(receipt, topic)] == [data_nft]
    receipt = receipt_of(chain, offline_publisher.set_state(data_nft, 5))
    assert words(logs_with(receipt, METADATA_STATE)[0]["data"])[0] == 5
    assert contract_at(chain.w3, "ERC721Template", data_nft).functions.getMetaData().call()[2] == 5


def test_forged_events_carry_the_real_topics_but_another_emitter(
    chain: DemoChain, order_tx: str, published: Published, stranger: Consumer
) -> None:
    real = receipt_of(chain, order_tx)
    fee = fee_tuple(unsigned_free_fee(chain))
    steps = [
        forge.provider_fee(fee),
        forge.order_started(stranger.address, payer=stranger.address, service_index=0, timestamp=int(time.time())),
        forge.order_reused(order_tx, caller=stranger.address, timestamp=1),
        forge.metadata_event(stranger.address, b"x" * 99, document_hash=bytes(32), flags=b"\x02"),
    ]
    tx, emitter = forge.emit(stranger.wallet, steps)
    receipt = receipt_of(chain, tx)
    assert {log["address"] for log in receipt["logs"]} == {emitter}
    assert [log["topics"][0] for log in receipt["logs"]] == [
        PROVIDER_FEE,
        ORDER_STARTED,
        ORDER_REUSED,
        METADATA_CREATED,
    ]
    assert logs_with(receipt, PROVIDER_FEE)[0]["data"] == logs_with(real, PROVIDER_FEE)[0]["data"]


def test_forger_can_mix_real_and_forged_events_in_one_receipt(
    chain: DemoChain, order_tx: str, published: Published, stranger: Consumer
) -> None:
    token = contract_at(chain.w3, "ERC20Template", published.datatokens[0])
    fee = fee_tuple(unsigned_free_fee(chain))
    reuse = token.encode_abi("reuseOrder", [bytes.fromhex(order_tx[2:]), fee])
    steps = [
        forge.Call(published.datatokens[0], bytes.fromhex(reuse[2:])),
        forge.order_started(stranger.address, payer=stranger.address, service_index=0, timestamp=1),
    ]
    tx, emitter = forge.emit(stranger.wallet, steps)
    receipt = receipt_of(chain, tx)
    assert logs_with(receipt, ORDER_REUSED)[0]["address"] == published.datatokens[0]
    assert logs_with(receipt, ORDER_STARTED)[0]["address"] == emitter


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"topics": [ORDER_STARTED]}, True, id="topic0"),
        pytest.param({"topics": [[ORDER_REUSED, ORDER_STARTED]]}, True, id="either_topic"),
        pytest.param({"topics": [None, None, as_topic("0x" + "00" * 20)]}, True, id="null_matches_any"),
        pytest.param({"topics": [ORDER_REUSED]}, False, id="other_topic"),
        pytest.param({"topics": [ORDER_STARTED, None, None, None]}, False, id="more_topics_than_the_log"),
        pytest.param({"topics": [ORDER_STARTED], "address": "0x" + "11" * 20}, False, id="other_address"),
        pytest.param({}, True, id="no_filter"),
    ],
)
def test_logs_are_filtered_as_a_node_does(chain: DemoChain, order_tx: str, query: dict[str, Any], found: bool) -> None:
    block = receipt_of(chain, order_tx)["blockNumber"]
    logs = chain.rpc("eth_getLogs", {"fromBlock": block, "toBlock": block, **query})
    assert (order_tx in {log["transactionHash"] for log in logs if log["topics"][0] == ORDER_STARTED}) == found


def test_logs_accept_a_list_of_addresses_and_a_range(chain: DemoChain, order_tx: str, published: Published) -> None:
    number = int(receipt_of(chain, order_tx)["blockNumber"], 16)
    addresses = ["0x" + "11" * 20, published.datatokens[0].lower()]
    query = {"address": addresses, "topics": [ORDER_STARTED]}
    before = chain.rpc("eth_getLogs", {**query, "fromBlock": "0x0", "toBlock": hex(number - 1)})
    until = chain.rpc("eth_getLogs", {**query, "fromBlock": "0x0", "toBlock": hex(number)})
    assert [log["transactionHash"] for log in until[len(before) :]] == [order_tx]


def test_batch_is_answered_in_order_over_one_connection(chain: DemoChain, order_tx: str) -> None:
    connection = http.client.HTTPConnection(chain.url.removeprefix("http://"))
    calls = [("eth_chainId", []), ("eth_nonsense", []), ("eth_getTransactionReceipt", [order_tx])]
    batch = [{"jsonrpc": "2.0", "id": 7 + i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
    for _ in range(2):
        connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answers = json.loads(response.read())
        assert [answer["id"] for answer in answers] == [7, 8, 9]
        assert answers[0]["result"] == hex(8996)
        assert answers[1]["error"]["code"] == -32601
        assert answers[2]["result"]["transactionHash"] == order_tx
    connection.close()


def test_revert_of_a_call_is_an_error_with_its_reason(chain: DemoChain, published: Published) -> None:
    token = contract_at(chain.w3, "ERC20Template", published.datatokens[0]).functions
    with pytest.raises(ContractLogicError, match="NOT MINTER"):
        token.mint(chain.contracts.ocean, 1).call({"from": chain.contracts.ocean})


def test_estimated_gas_is_enough_for_an_order(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published
) -> None:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    order = contract_at(chain.w3, "ERC20Template", published.datatokens[0]).functions.startOrder(
        consumer.address, 0, fee_tuple(unsigned_free_fee(chain)), NO_MARKET_FEE
    )
    gas = order.estimate_gas({"from": consumer.address})
    receipt = consumer.wallet.send(order, gas=gas)
    assert receipt["gasUsed"] <= gas


def test_unknown_things_are_null(chain: DemoChain) -> None:
    assert chain.rpc("eth_getTransactionReceipt", "0x" + "77" * 32) is None
    assert chain.rpc("eth_getTransactionByHash", "0x" + "77" * 32) is None
    assert chain.rpc("eth_getBlockByNumber", "0xffffff", False) is None
    assert chain.rpc("eth_getBlockByHash", "0x" + "77" * 32, False) is None


@pytest.mark.parametrize(
    ("fees", "kind"),
    [
        ({"gasPrice": 3 * 10**9}, "0x0"),
        ({"gasPrice": 3 * 10**9, "accessList": []}, "0x1"),
        ({"maxFeePerGas": 4 * 10**9, "maxPriorityFeePerGas": 10**9, "accessList": []}, "0x2"),
    ],
)
def test_a_transaction_of_any_type_is_shown_as_it_was_signed(chain: DemoChain, fees: dict[str, Any], kind: str) -> None:
    listed = [{"address": chain.contracts.router, "storageKeys": ["0x" + "00" * 31 + "07"]}]
    account = Account.from_key(SPARE_KEYS[9])
    unsigned = {
        "chainId": chain.contracts.chain_id,
        "nonce": chain.w3.eth.get_transaction_count(account.address),
        "to": account.address,
        "value": 1,
        "gas": 60_000,
        **fees,
        **({"accessList": listed} if "accessList" in fees else {}),
    }
    signed = account.sign_transaction(unsigned)
    tx = chain.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    shown = chain.rpc("eth_getTransactionByHash", tx)
    assert (shown["type"], shown["from"], int(shown["r"], 16)) == (kind, account.address, signed.r)
    assert shown.get("accessList") == (listed if "accessList" in fees else None)
    assert shown.get("yParity") == (shown["v"] if "accessList" in fees else None)
    assert receipt_of(chain, tx)["status"] == "0x1"


def test_nonce_too_low_is_refused(chain: DemoChain, consumer: Consumer, order_tx: str) -> None:
    sender = Account.from_key(SPARE_KEYS[1])
    nonce = int(chain.rpc("eth_getTransactionCount", sender.address, "latest"), 16)
    fields = {"chainId": 8996, "nonce": nonce, "gas": 21000, "to": consumer.address, "value": 0, "gasPrice": 10**10}
    raw = sender.sign_transaction(fields).raw_transaction.to_0x_hex()
    chain.rpc("eth_sendRawTransaction", raw)
    with pytest.raises(RuntimeError, match="nonce"):
        chain.rpc("eth_sendRawTransaction", raw)


def test_clock_can_be_shifted_back_for_old_orders(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published
) -> None:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    with chain.clock_shifted(-86400):
        tx = consumer.order(published, fee=unsigned_free_fee(chain))
    timestamp = words(logs_with(receipt_of(chain, tx), ORDER_STARTED)[0]["data"])[3]
    assert time.time() - 86400 - 60 < timestamp < time.time() - 86400 + 60
    chain.rpc("evm_mine")
    assert abs(int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) - time.time()) < 60


def test_revert_to_a_snapshot_forgets_the_blocks_after_it(
    chain: DemoChain, offline_publisher: Publisher, consumer: Consumer, published: Published
) -> None:
    snapshot, height = chain.rpc("evm_snapshot"), chain.rpc("eth_blockNumber")
    lost = offline_publisher.mint(published.datatokens[0], consumer.address)
    assert chain.rpc("evm_revert", snapshot) is True
    assert chain.rpc("eth_blockNumber") == height
    assert receipt_of(chain, lost) is None
    again = offline_publisher.mint(published.datatokens[0], consumer.address, 7)
    assert receipt_of(chain, again)["status"] == "0x1"
