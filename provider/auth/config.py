"""Settings of authentication."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import boolean, integer

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """`contract_accounts`: let a contract confirm a signature of its own account (ERC-1271)."""

    SECTION: ClassVar = "security"

    token_max_lifetime_seconds: int = integer(
        "PROVIDER_TOKEN_MAX_LIFETIME_SECONDS",
        30 * _DAY_SECONDS,
        minimum=1,
        maximum=366 * _DAY_SECONDS,
        help="Maximum lifetime of an auth token, in seconds, whatever its owner asks for. A token is a bearer "
        "credential: anyone holding it acts as its owner.",
    )
    beside_ocean_node: bool = boolean(
        "PROVIDER_BESIDE_OCEAN_NODE",
        False,
        help="A reverse proxy sends compute requests for this URL to an ocean-node. Then `GET nonce` returns the time "
        "if that is greater than the last nonce, so that clients use nonces that are new to both servers.",
    )
    contract_accounts: bool = boolean(
        "PROVIDER_CONTRACT_ACCOUNTS",
        True,
        help="Accept accounts that are contracts (ERC-1271). Checking their signatures costs calls to the node.",
    )
