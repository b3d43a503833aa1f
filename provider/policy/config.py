"""Settings of permissions: decrypters, publishers, unbound files, an RBAC server and a policy server."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from provider.assets.credentials import AccessList
from provider.crypto.keccak import to_checksum_address
from provider.setting import BadSettingError, boolean, json_or_text, or_default, plain_text, seconds, special, url

_CHAIN_ID = re.compile(r"[1-9][0-9]{0,17}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def _addresses(value: object) -> frozenset[str]:
    value = json_or_text(value)
    if not isinstance(value, list) or not all(isinstance(item, str) and _ADDRESS.fullmatch(item) for item in value):
        raise BadSettingError('must be a JSON list of addresses, such as ["0x…"]; it decides who has access')
    return frozenset(item.lower() for item in value)


def _lists_by_chain(value: object) -> tuple[AccessList, ...]:
    """`{chain id: [contract, …]}`, as in ocean-node."""
    value = json_or_text(value)
    # An empty list might mean nobody or everybody.
    if not isinstance(value, dict) or not all(_CHAIN_ID.fullmatch(str(key)) and found for key, found in value.items()):
        raise BadSettingError("must be a JSON object of chain ids, each with a list of contracts of access lists")
    return tuple(
        AccessList(int(chain_id), to_checksum_address(contract))
        for chain_id, contracts in value.items()
        for contract in sorted(_addresses(contracts))
    )


def _header_value(value: object) -> str:
    text = plain_text(value)
    if not (text.isascii() and text.isprintable()):
        raise BadSettingError("must be printable ASCII")
    return text


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """An empty list of addresses means everybody. `universal_key` signs what belongs to no chain."""

    SECTION: ClassVar = "security"

    authorized_decrypters: frozenset[str] = special(
        "AUTHORIZED_DECRYPTERS",
        _addresses,
        [],
        help="Addresses that may call decrypt. Default: everybody. In the environment, write a JSON list.",
        examples=(["0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"],),
    )
    authorized_decrypters_list: tuple[AccessList, ...] = special(
        "AUTHORIZED_DECRYPTERS_LIST",
        _lists_by_chain,
        {},
        help="Access lists (contracts) by chain id. For documents of these chains, only addresses on a list of the "
        "chain may call decrypt. With AUTHORIZED_DECRYPTERS, both must admit them.",
        examples=({"1": ["0x967da4048cD07aB37855c090aAF366e4ce1b9F48"]},),
    )
    authorized_publishers: frozenset[str] = special(
        "AUTHORIZED_PUBLISHERS",
        _addresses,
        [],
        help="Only assets whose newest document was published by one of these addresses are served. Default: "
        "everybody. In the environment, write a JSON list.",
        examples=(["0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"],),
    )
    authorized_publishers_list: tuple[AccessList, ...] = special(
        "AUTHORIZED_PUBLISHERS_LIST",
        _lists_by_chain,
        {},
        help="Access lists (contracts) by chain id. Of these chains, only assets whose publisher is on a list of the "
        "chain are served. With AUTHORIZED_PUBLISHERS, both must admit them.",
        examples=({"1": ["0x967da4048cD07aB37855c090aAF366e4ce1b9F48"]},),
    )
    allow_unbound_files: bool = boolean(
        "ALLOW_UNBOUND_FILES",
        False,
        help="Serve assets of version 4.0.0. Their file lists are not bound to their asset.",
    )
    universal_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Services that also decide; None where there is none. `timeout_seconds` bounds one question to either."""

    SECTION: ClassVar = "access"

    rbac_url: str | None = url(
        "RBAC_SERVER_URL",
        key="rbac_server_url",
        help="This server is asked at initialize, download and compute whether the consumer has the role.",
        example="http://rbac:3000/",
    )
    is_private: bool = boolean(
        "PRIVATE_PROVIDER",
        False,
        key="private_provider",
        help="Tell the RBAC server that this is a private Provider.",
    )
    policy_url: str | None = url(
        "POLICY_SERVER_URL",
        key="policy_server_url",
        help="This server decides instead of the credentials in DDOs.",
        example="http://policy:8100/",
    )
    policy_api_key: str | None = special(
        "POLICY_SERVER_API_KEY",
        or_default(None, _header_value),
        key="policy_server_api_key",
        help="API key that is sent with every request to the policy server.",
        examples=("secret",),
        secret=True,
    )
    timeout_seconds: float = seconds(
        "PROVIDER_ACCESS_TIMEOUT_SECONDS",
        5,
        minimum=0.1,
        maximum=60,
        help="Limit of one question to either server. Without an answer the call is refused with 503.",
    )
