"""The chains: endpoints, keys and fee tokens, single or per chain id (`provider-api.md` section 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import orjson

from provider.chain.config import ChainConfig
from provider.config.keys import ProviderKey, UniversalKey, open_keys
from provider.config.reader import Reader
from provider.setting import json_or_text, special, text, url_problem

CHAIN_ID = re.compile(r"[1-9][0-9]{0,17}")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
BOTH_KINDS = "NETWORK_URL and PROVIDER_PRIVATE_KEY must both be single or both json encoded."
NO_UNIVERSAL = "Must define UNIVERSAL_PRIVATE_KEY or a single PROVIDER_PRIVATE_KEY."
_NODES = ["https://first.example/KEY", "https://second.example"]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes and fee tokens as the operator wrote them: one value, or one per chain id."""

    SECTION: ClassVar = "chains"

    network_url: object = special(
        "NETWORK_URL",
        json_or_text,
        help="JSON-RPC endpoint of the node (http or https). REQUIRED. One URL, or a list in order of preference: the "
        "next one takes over when one fails. For several chains a table by chain id (in the environment: the same as "
        "JSON).",
        examples=("http://127.0.0.1:8545", _NODES, {"1": _NODES, "137": "https://polygon.example"}),
        secret=True,
    )
    fee_token: object = special(
        "PROVIDER_FEE_TOKEN",
        json_or_text,
        help="Token in which provider fees are paid. Default: the Ocean token of the chain. One address, or one per "
        "chain id.",
        examples=("0x967da4048cD07aB37855c090aAF366e4ce1b9F48",),
    )


@dataclass(frozen=True, slots=True)
class AddressFile:
    """The file that names the contracts of each network."""

    SECTION: ClassVar = "chains"

    address_file: str | None = text(
        "ADDRESS_FILE",
        help="Contract addresses by network. Default: the bundled file with the public networks.",
        example="/ocean-contracts/artifacts/address.json",
    )


def read_addresses(reader: Reader) -> str:
    """Read the text of the address file, "" for the bundled one. Faults are noted in `reader`."""
    path = reader.read(AddressFile).address_file
    found = reader.read_file("ADDRESS_FILE", path) if path else None
    if found is None:
        return ""
    try:
        if not isinstance(orjson.loads(found), dict):
            raise ValueError
    except ValueError:
        reader.fault("ADDRESS_FILE", f"{path} is not a JSON object of networks")
        return ""
    return found


def read_chains(reader: Reader) -> tuple[tuple[ChainConfig, ...], str]:
    """Read the chains and the universal key. Faults are noted in `reader`; the result is then incomplete."""
    nodes = reader.read(Nodes)
    urls, fee_tokens = nodes.network_url, nodes.fee_token
    keys = open_keys(reader, "PROVIDER_PRIVATE_KEY", reader.read(ProviderKey))
    universal = _universal_key(reader, keys)
    if urls is None and not reader.has_fault("NETWORK_URL"):
        reader.fault("NETWORK_URL", "is required: the URL of a JSON-RPC node, or one per chain id")
    if keys is None and not reader.has_fault("PROVIDER_PRIVATE_KEY"):
        reader.fault("PROVIDER_PRIVATE_KEY", "is required: the key that decrypts and signs fees")
    kinds_differ = urls is not None and keys is not None and isinstance(urls, Mapping) != isinstance(keys, Mapping)
    if kinds_differ:
        reader.fault("NETWORK_URL", BOTH_KINDS)
    if urls is None or keys is None or kinds_differ:
        _check_alone(reader, urls, fee_tokens)
        return (), universal
    if not isinstance(urls, Mapping):
        chain = ChainConfig(None, _endpoints(reader, urls, ""), str(keys), _fee_token(reader, fee_tokens, None))
        return (chain,), universal
    assert isinstance(keys, Mapping)  # noqa: S101 - both kinds agree, checked above
    return _many(reader, urls, keys, fee_tokens), universal


def _check_alone(reader: Reader, urls: object, fee_tokens: object) -> None:
    """Note the faults of endpoints and fee tokens if they cannot be combined with keys."""
    if urls is not None:
        for chain_text, value in urls.items() if isinstance(urls, Mapping) else [("", urls)]:
            _endpoints(reader, value, chain_text)
    if isinstance(fee_tokens, Mapping):
        for chain_text in fee_tokens:
            _fee_token(reader, fee_tokens, str(chain_text))
    else:
        _fee_token(reader, fee_tokens, None)


def _many(
    reader: Reader, urls: Mapping[str, object], keys: Mapping[str, str], fee_tokens: object
) -> tuple[ChainConfig, ...]:
    chains = []
    for chain_text, chain_urls in urls.items():
        if not CHAIN_ID.fullmatch(str(chain_text)):
            reader.fault("NETWORK_URL", "must name each chain by its id, a decimal number such as 137")
            continue
        endpoints = _endpoints(reader, chain_urls, chain_text)
        fee_token = _fee_token(reader, fee_tokens, chain_text)
        key = keys.get(chain_text)
        if key is None:
            reader.fault(
                "PROVIDER_PRIVATE_KEY", f"has no usable key for chain {chain_text}, which NETWORK_URL names; add one"
            )
            continue
        chains.append(ChainConfig(int(chain_text), endpoints, key, fee_token))
    if not urls:
        reader.fault("NETWORK_URL", "names no chain")
    for chain_text in keys:
        if chain_text not in urls:
            reader.fault(
                "PROVIDER_PRIVATE_KEY",
                f"chain {chain_text[:20]} is not in NETWORK_URL; add its node there, or remove its key",
            )
    return tuple(chains)


def _endpoints(reader: Reader, value: object, chain_text: str) -> tuple[str, ...]:
    """Check the endpoints of one chain. `chain_text` is its id, or empty for a single chain."""
    of_chain = f"chain {chain_text} " if CHAIN_ID.fullmatch(chain_text) else ""
    urls = value if isinstance(value, list) else [value]
    good: list[str] = []
    for position, url in enumerate(urls):
        problem = url_problem(url) if isinstance(url, str) else "must be text"
        if problem:
            reader.fault("NETWORK_URL", f"{of_chain}endpoint {position + 1} {problem}")
        else:
            good.append(url)
    if not urls:
        reader.fault("NETWORK_URL", f"{of_chain}names no endpoint")
    return tuple(good)


def _fee_token(reader: Reader, value: object, chain_text: str | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        if chain_text is None or chain_text not in value:
            where = f"chain {chain_text}" if chain_text else "a single chain: give one address"
            reader.fault("PROVIDER_FEE_TOKEN", f"has no entry for {where}")
            return None
        value = value[chain_text]
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        reader.fault("PROVIDER_FEE_TOKEN", "must be an address (0x and 40 hex digits), or one per chain id")
        return None
    return value


def _universal_key(reader: Reader, keys: str | dict[str, str] | None) -> str:
    universal = open_keys(reader, "UNIVERSAL_PRIVATE_KEY", reader.read(UniversalKey))
    if isinstance(universal, dict):
        reader.fault("UNIVERSAL_PRIVATE_KEY", "must be one key, not one per chain")
        return ""
    if universal is not None:
        return universal
    if isinstance(keys, str):
        return keys
    if isinstance(keys, dict):
        reader.fault("UNIVERSAL_PRIVATE_KEY", NO_UNIVERSAL)
    return ""
