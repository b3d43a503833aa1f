"""Settings of how consumers prove who they are."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import boolean, integer

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """`contract_accounts`: ask contracts about signatures of theirs (ERC-1271)."""

    SECTION: ClassVar = "security"

    token_max_lifetime_seconds: int = integer(
        "PROVIDER_TOKEN_MAX_LIFETIME_SECONDS",
        30 * _DAY_SECONDS,
        minimum=1,
        maximum=366 * _DAY_SECONDS,
        help="Maximum lifetime of an auth token, in seconds, whatever its owner asks for. A token is a bearer "
        "credential: anyone holding it acts as its owner.",
    )
    contract_accounts: bool = boolean(
        "PROVIDER_CONTRACT_ACCOUNTS",
        True,
        help="Accept accounts that are contracts (ERC-1271). Checking their signatures costs calls to the node.",
    )
