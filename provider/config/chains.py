"""The chains: endpoints, keys and fee tokens, single or per chain id (`provider-api.md` section 14)."""

import re
from collections.abc import Mapping

from provider.config.keys import read_keys
from provider.config.model import ChainSettings
from provider.config.source import Source, url_problem

CHAIN_ID = re.compile(r"[1-9][0-9]{0,17}")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
BOTH_KINDS = "NETWORK_URL and PROVIDER_PRIVATE_KEY must both be single or both json encoded."
NO_UNIVERSAL = "Must define UNIVERSAL_PRIVATE_KEY or a single PROVIDER_PRIVATE_KEY."


def read_chains(source: Source) -> tuple[tuple[ChainSettings, ...], str]:
    """The chains and the universal key. Faults are noted in `source`; the result is then incomplete."""
    urls = source.json_or_text("NETWORK_URL", "chains.network_url")
    keys = read_keys(source, "PROVIDER_PRIVATE_KEY", "chains.private_key")
    fee_tokens = source.json_or_text("PROVIDER_FEE_TOKEN", "chains.fee_token")
    universal = _universal_key(source, keys)
    if urls is None:
        source.fault(
            "NETWORK_URL", "chains.network_url", "is required: the URL of a JSON-RPC node, or one per chain id"
        )
    if keys is None and not any(fault.startswith("PROVIDER_PRIVATE_KEY") for fault in source.faults):
        source.fault("PROVIDER_PRIVATE_KEY", "chains.private_key", "is required: the key that decrypts and signs fees")
    kinds_differ = urls is not None and keys is not None and isinstance(urls, Mapping) != isinstance(keys, Mapping)
    if kinds_differ:
        source.fault("NETWORK_URL", "chains.network_url", BOTH_KINDS)
    if urls is None or keys is None or kinds_differ:
        _check_alone(source, urls, fee_tokens)
        return (), universal
    if not isinstance(urls, Mapping):
        chain = ChainSettings(None, _endpoints(source, urls, ""), str(keys), _fee_token(source, fee_tokens, None))
        return (chain,), universal
    assert isinstance(keys, Mapping)  # noqa: S101 - both kinds agree, checked above
    return _many(source, urls, keys, fee_tokens), universal


def _check_alone(source: Source, urls: object, fee_tokens: object) -> None:
    """Note the faults of endpoints and fee tokens that cannot be brought together with keys."""
    if urls is not None:
        for chain_text, value in urls.items() if isinstance(urls, Mapping) else [("", urls)]:
            _endpoints(source, value, chain_text)
    if isinstance(fee_tokens, Mapping):
        for chain_text in fee_tokens:
            _fee_token(source, fee_tokens, str(chain_text))
    else:
        _fee_token(source, fee_tokens, None)


def _many(
    source: Source, urls: Mapping[str, object], keys: Mapping[str, str], fee_tokens: object
) -> tuple[ChainSettings, ...]:
    chains = []
    for chain_text, chain_urls in urls.items():
        if not CHAIN_ID.fullmatch(str(chain_text)):
            source.fault("NETWORK_URL", "chains.network_url", "must name each chain by its id, a decimal number")
            continue
        endpoints = _endpoints(source, chain_urls, chain_text)
        fee_token = _fee_token(source, fee_tokens, chain_text)
        key = keys.get(chain_text)
        if key is None:
            source.fault("PROVIDER_PRIVATE_KEY", "chains.private_key", f"has no usable key for chain {chain_text}")
            continue
        chains.append(ChainSettings(int(chain_text), endpoints, key, fee_token))
    if not urls:
        source.fault("NETWORK_URL", "chains.network_url", "names no chain")
    for chain_text in keys:
        if chain_text not in urls:
            source.fault("PROVIDER_PRIVATE_KEY", "chains.private_key", f"chain {chain_text[:20]} is not in NETWORK_URL")
    return tuple(chains)


def _endpoints(source: Source, value: object, chain_text: str) -> tuple[str, ...]:
    """`chain_text` is empty for a single chain."""
    of_chain = f"chain {chain_text} " if CHAIN_ID.fullmatch(chain_text) else ""
    urls = value if isinstance(value, list) else [value]
    good: list[str] = []
    for position, url in enumerate(urls):
        problem = url_problem(url) if isinstance(url, str) else "must be text"
        if problem:
            source.fault("NETWORK_URL", "chains.network_url", f"{of_chain}endpoint {position + 1} {problem}")
        else:
            good.append(url)
    if not urls:
        source.fault("NETWORK_URL", "chains.network_url", f"{of_chain}names no endpoint")
    return tuple(good)


def _fee_token(source: Source, value: object, chain_text: str | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        if chain_text is None or chain_text not in value:
            where = f"chain {chain_text}" if chain_text else "a single chain: give one address"
            source.fault("PROVIDER_FEE_TOKEN", "chains.fee_token", f"has no entry for {where}")
            return None
        value = value[chain_text]
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        source.fault("PROVIDER_FEE_TOKEN", "chains.fee_token", "must be an address, or one per chain id")
        return None
    return value


def _universal_key(source: Source, keys: str | dict[str, str] | None) -> str:
    universal = read_keys(source, "UNIVERSAL_PRIVATE_KEY", "security.universal_private_key")
    if isinstance(universal, dict):
        source.fault("UNIVERSAL_PRIVATE_KEY", "security.universal_private_key", "must be one key, not one per chain")
        return ""
    if universal is not None:
        return universal
    if isinstance(keys, str):
        return keys
    if isinstance(keys, dict):
        source.fault("UNIVERSAL_PRIVATE_KEY", "security.universal_private_key", NO_UNIVERSAL)
    return ""
