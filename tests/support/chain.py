"""A real local EVM with the real Ocean contracts, once per session, and people who act on it.

No Provider runs here: `offline_publisher` encrypts with eciespy and `signed_fee` signs with eth_account, so our own
code never made the data that tests feed to it.
"""

import json
import os
import time
from collections.abc import Callable, Iterator

import pytest
from ecies import encrypt
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, chain_ready, launch_chain
from tests.support.measured import MeasuredChildren

PROVIDER_URL = "http://127.0.0.1:8030"  # what unserved test assets name as their endpoint


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredChildren]:
    """Processes that live as long as the session. They trust no public authority: to read all would take a third of a
    start, and nothing here is signed by one.
    """
    environ = {"SSL_CERT_FILE": os.devnull}
    with MeasuredChildren(str(tmp_path_factory.mktemp("children")), environ) as started:
        yield started


@pytest.fixture(scope="session")
def executed_children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredChildren]:
    """As `children`, but each is started as an operator starts it, for tests of just that."""
    with MeasuredChildren(str(tmp_path_factory.mktemp("executed")), forks=False) as started:
        yield started


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoChain]:
    """The chain process with the contracts deployed. Coverage does not measure it: it would take twice the time."""
    with Children(str(tmp_path_factory.mktemp("chain"))) as started:
        yield chain_ready(launch_chain(started))


def eciespy_encrypt(data: bytes) -> str:
    """Encrypt to the Provider's key with the independent library; 0x hex."""
    public_key = Account.from_key(PROVIDER_KEY)._key_obj.public_key.to_hex()
    return "0x" + encrypt(public_key, data).hex()


@pytest.fixture(scope="session")
def offline_publisher(chain: DemoChain) -> Publisher:
    """Publisher whose ciphertexts come from eciespy instead of a running Provider."""
    return Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, PROVIDER_URL, encrypt=eciespy_encrypt)


@pytest.fixture(scope="session")
def consumer(chain: DemoChain) -> Consumer:
    """Somebody with an account; holds no datatokens until a test mints some."""
    return Consumer(chain.wallet(CONSUMER_KEY), PROVIDER_URL)


@pytest.fixture(scope="session")
def stranger(chain: DemoChain) -> Consumer:
    """Somebody who never bought anything."""
    return Consumer(chain.wallet(STRANGER_KEY), PROVIDER_URL)


@pytest.fixture(scope="session")
def published(offline_publisher: Publisher) -> Published:
    """An asset with two access services of one url file each; read-only for tests."""
    file = url_file("http://127.0.0.1:9/data.csv")
    return offline_publisher.publish([file], [file])


@pytest.fixture(scope="session")
def signed_fee(chain: DemoChain) -> Callable[..., dict[str, object]]:
    """Wire-shaped provider fee signed by eth_account: `signed_fee(datatoken, service_id, **overrides)`."""

    def sign(
        datatoken: str,
        service_id: str,
        *,
        key: str = PROVIDER_KEY,
        token: str = chain.contracts.ocean,
        amount: int = 0,
        valid_until: int = 0,
        environment: str | None = None,
        timestamp: float | None = None,
    ) -> dict[str, object]:
        account = Account.from_key(key)
        stamp = time.time() if timestamp is None else timestamp
        fields = {"environment": environment, "timestamp": stamp, "dt": datatoken, "id": service_id}
        data = json.dumps(fields, separators=(",", ":")).encode()
        packed = data + bytes.fromhex(account.address[2:] + token[2:])
        inner = keccak(packed + amount.to_bytes(32, "big") + valid_until.to_bytes(32, "big"))
        signature = account.sign_message(encode_defunct(primitive=inner))
        return {
            "providerFeeAddress": account.address,
            "providerFeeToken": token,
            "providerFeeAmount": str(amount),
            "providerData": "0x" + data.hex(),
            "v": signature.v,
            "r": f"0x{signature.r:064x}",
            "s": f"0x{signature.s:064x}",
            "validUntil": valid_until,
        }

    return sign
