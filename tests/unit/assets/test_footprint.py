"""How much memory an asset is said to take, against what Python allocates for it."""

import tracemalloc

import orjson
import pytest

from provider.assets.ddo import parse_ddo
from provider.assets.footprint import asset_bytes

NFT = "0x" + "a1" * 20


def ddo(*, addresses: int = 0, description: int = 0, parameters: int = 0) -> dict[str, object]:
    listed = [f"0x{number:040x}" for number in range(addresses)]
    declared = [{"name": f"p{n}", "type": "text", "label": "l", "default": "d" * 50} for n in range(parameters)]
    return {
        "id": "did:op:" + "0" * 64,
        "version": "4.7.0",
        "chainId": 1,
        "nftAddress": NFT,
        "metadata": {"type": "dataset", "description": "x" * description},
        "credentials": {"allow": [{"type": "address", "values": listed}]} if listed else {},
        "services": [
            {
                "id": "s",
                "type": "access",
                "files": "0x" + "ab" * 200,
                "datatokenAddress": NFT,
                "serviceEndpoint": "https://provider.example",
                "timeout": 0,
                "consumerParameters": declared,
            }
        ],
    }


@pytest.mark.parametrize("keep_document", [False, True])
@pytest.mark.parametrize(
    "size",
    [{}, {"addresses": 20_000}, {"description": 1_000_000}, {"parameters": 500}],
    ids=["ordinary", "many addresses", "long text", "many parameters"],
)
def test_an_asset_is_not_said_to_take_much_less_than_it_does(size: dict[str, int], keep_document: bool) -> None:
    text = orjson.dumps(ddo(**size))
    parse_ddo(orjson.loads(text), keep_document=keep_document)
    tracemalloc.start()
    try:
        asset = parse_ddo(orjson.loads(text), keep_document=keep_document)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken * 0.8 - 1500 < asset_bytes(asset) < taken * 1.5 + 4000


def test_the_text_for_a_policy_server_counts() -> None:
    sample = ddo(description=100_000)
    without, kept = (asset_bytes(parse_ddo(sample, keep_document=keep)) for keep in (False, True))
    assert without < 10_000
    assert kept - without > 100_000
