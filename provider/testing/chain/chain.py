"""The demo's EVM behind a JSON-RPC HTTP endpoint, as a separate process.

`python -m provider.testing.chain.chain --port 0` prints one JSON line `{"url": …, "chainId": …}` once it answers. It
ends on SIGTERM or, with `--watch-stdin`, when its standard input closes. It supports batches and keep-alive, but no
WebSocket and no subscriptions.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import uvloop
from eth_account import Account
from eth_typing import Address
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.testing.chain.evm import CallReverted, Evm, TransactionRefused
from provider.testing.chain.evm_json import CHAIN_ID, JsonObject
from provider.testing.chain.keys import FUNDED_KEYS
from provider.testing.child import announce, child_parser, until_stopped

GWEI = 10**9
BATCH_LIMIT = 1000  # calls; geth's default

Params = Sequence[Any]


class Node:
    """The JSON-RPC methods of one Evm."""

    def __init__(self, evm: Evm, accounts: Sequence[str]) -> None:
        self._evm = evm
        self._accounts = list(accounts)
        self._methods: dict[str, Callable[[Params], object]] = {
            "web3_clientVersion": lambda _: "provider-demo/py-evm",
            "net_version": lambda _: str(CHAIN_ID),
            "net_listening": lambda _: True,
            "eth_chainId": lambda _: hex(CHAIN_ID),
            "eth_syncing": lambda _: False,
            "eth_accounts": lambda _: self._accounts,
            "eth_blockNumber": lambda _: hex(evm.height),
            "eth_gasPrice": lambda _: hex(2 * GWEI),
            "eth_maxPriorityFeePerGas": lambda _: hex(GWEI),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": lambda p: evm.block(evm.number(p[0]), full=_flag(p, 1)),
            "eth_getBlockByHash": lambda p: evm.block(evm.number_of_hash(p[0]), full=_flag(p, 1)),
            "eth_getTransactionByHash": lambda p: evm.transaction(p[0]),
            "eth_getTransactionReceipt": lambda p: evm.receipt(p[0]),
            "eth_getTransactionCount": lambda p: hex(self._read_state(p).get_nonce(_address(p))),
            "eth_getBalance": lambda p: hex(self._read_state(p).get_balance(_address(p))),
            "eth_getCode": lambda p: "0x" + self._read_state(p).get_code(_address(p)).hex(),
            "eth_getStorageAt": self._storage_at,
            "eth_call": lambda p: "0x" + evm.call(p[0], _tag(p, 1)).hex(),
            "eth_estimateGas": lambda p: hex(evm.estimate(p[0])),
            "eth_sendRawTransaction": lambda p: evm.send_raw(bytes.fromhex(p[0].removeprefix("0x"))),
            "eth_getLogs": lambda p: evm.logs(p[0]),
            "evm_mine": lambda _: evm.mine_empty()["number"],
            "evm_increaseTime": lambda p: evm.shift_clock(_quantity(p[0])),
            "evm_snapshot": lambda _: evm.snapshot(),
            "evm_revert": lambda p: evm.revert(p[0]),
        }

    def answer(self, request: object) -> JsonObject:
        """Return one JSON-RPC 2.0 reply. Every fault of the request becomes an error object."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _error(None, -32600, "invalid request")
        request_id, method, params = request.get("id"), request["method"], request.get("params") or []
        handler = self._methods.get(method)
        if handler is None:
            return _error(request_id, -32601, f"the method {method} does not exist/is not available")
        try:
            return {"jsonrpc": "2.0", "id": request_id, "result": handler(params)}
        except CallReverted as error:
            return _error(request_id, 3, str(error), "0x" + error.data.hex())
        except TransactionRefused as error:
            return _error(request_id, -32000, str(error))
        except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
            return _error(request_id, -32602, f"invalid argument: {error}")

    def _read_state(self, params: Params) -> Any:
        return self._evm.state(_tag(params, 1))

    def _storage_at(self, params: Params) -> str:
        value = self._evm.state(_tag(params, 2)).get_storage(_address(params), _quantity(params[1]))
        return f"0x{value:064x}"

    def _fee_history(self, params: Params) -> JsonObject:
        newest = self._evm.number(params[1])
        last = self._evm.height if newest is None else newest
        first = max(0, last - _quantity(params[0]) + 1)
        blocks = [self._evm.block(number, full=False) or {} for number in range(first, last + 1)]
        percentiles = params[2] if len(params) > 2 and params[2] else []
        return {
            "oldestBlock": hex(first),
            "baseFeePerGas": [block["baseFeePerGas"] for block in (*blocks, blocks[-1])],
            "gasUsedRatio": [int(block["gasUsed"], 16) / int(block["gasLimit"], 16) for block in blocks],
            "reward": [[hex(GWEI) for _ in percentiles] for _ in blocks],
        }


def _error(request_id: object, code: int, message: str, data: str | None = None) -> JsonObject:
    fault: JsonObject = {"code": code, "message": message}
    if data is not None:
        fault["data"] = data
    return {"jsonrpc": "2.0", "id": request_id, "error": fault}


def _tag(params: Params, position: int) -> Any:
    return params[position] if len(params) > position else "latest"


def _flag(params: Params, position: int) -> bool:
    return bool(params[position]) if len(params) > position else False


def _quantity(value: int | str) -> int:
    return value if isinstance(value, int) else int(value, 0)


def _address(params: Params) -> bytes:
    address = bytes.fromhex(params[0][2:])
    if len(address) != 20:
        raise ValueError("an address has 20 bytes")
    return address


class RpcHandler(RequestHandler):
    """Handles the POST of a JSON-RPC object or batch."""

    def initialize(self, node: Node) -> None:
        """Tornado's hook for the arguments of the route."""
        self._node = node

    def post(self) -> None:
        """Answer one request or a batch, in the order given."""
        self.set_header("Content-Type", "application/json")
        try:
            request = orjson.loads(self.request.body)
        except orjson.JSONDecodeError:
            self.finish(orjson.dumps(_error(None, -32700, "parse error")))
            return
        answer: object
        if not isinstance(request, list):
            answer = self._node.answer(request)
        elif 0 < len(request) <= BATCH_LIMIT:
            answer = [self._node.answer(item) for item in request]
        else:
            answer = _error(None, -32600, "empty or too large batch")
        self.finish(orjson.dumps(answer))


async def serve(port: int, *, watch_stdin: bool) -> None:
    """Serve on 127.0.0.1 until stopped; port 0 takes a free one."""
    addresses = [Account.from_key(key).address for key in FUNDED_KEYS]
    node = Node(Evm(Address(bytes.fromhex(address[2:])) for address in addresses), addresses)
    (listener,) = bind_sockets(port, "127.0.0.1")
    server = HTTPServer(Application([("/", RpcHandler, {"node": node})], log_function=lambda _: None))
    server.add_sockets([listener])
    bound = listener.getsockname()[1]
    announce({"url": f"http://127.0.0.1:{bound}", "chainId": CHAIN_ID})
    await until_stopped(watch_stdin=watch_stdin)


def main() -> None:
    """Entry point of `python -m provider.testing.chain.chain`."""
    arguments = child_parser("Local EVM of the Provider demo.").parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.port, watch_stdin=arguments.watch_stdin))


if __name__ == "__main__":
    main()
