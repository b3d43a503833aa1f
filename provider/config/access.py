"""Services that decide with us who may do what: an RBAC server and a policy server."""

from provider.config.model import AccessSettings
from provider.config.source import Source


def read_access(source: Source) -> AccessSettings:
    """The settings; faults are noted in `source`."""
    policy_url = source.url("POLICY_SERVER_URL", "access.policy_server_url")
    api_key = source.text("POLICY_SERVER_API_KEY", "access.policy_server_api_key")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        source.fault("POLICY_SERVER_API_KEY", "access.policy_server_api_key", "must be printable ASCII")
    return AccessSettings(
        rbac_url=source.url("RBAC_SERVER_URL", "access.rbac_server_url"),
        is_private=source.boolean("PRIVATE_PROVIDER", "access.private_provider", False),
        policy_url=policy_url,
        policy_api_key=api_key,
        timeout_seconds=source.seconds(
            "PROVIDER_ACCESS_TIMEOUT_SECONDS", "access.timeout_seconds", 5.0, minimum=0.1, maximum=60.0
        ),
    )
