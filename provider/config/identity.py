"""How consumers prove who they are: how long AuthTokens last, and whether accounts may be contracts."""

from provider.config.model import IdentitySettings
from provider.config.source import Source

_MONTH_SECONDS = 30 * 86_400
_YEAR_SECONDS = 366 * 86_400


def read_identity(source: Source) -> IdentitySettings:
    """Faults are noted in `source`."""
    return IdentitySettings(
        token_max_lifetime_seconds=source.integer(
            "PROVIDER_TOKEN_MAX_LIFETIME_SECONDS",
            "security.token_max_lifetime_seconds",
            _MONTH_SECONDS,
            minimum=1,
            maximum=_YEAR_SECONDS,
        ),
        contract_accounts=source.boolean("PROVIDER_CONTRACT_ACCOUNTS", "security.contract_accounts", True),
    )
