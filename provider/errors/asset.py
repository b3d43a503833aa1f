"""The asset or service cannot be consumed."""

from provider.errors.base import ProviderError


class AssetError(ProviderError):
    """Base of refusals about the asset, its service or the consumer's access to it."""

    code = "asset_refused"
    http_status = 400


class AssetNotFound(AssetError):
    """No DDO behind the DID."""

    code = "asset_not_found"
    text = "Cannot resolve DID"


class AssetMalformed(AssetError):
    """The DDO lacks what a consumable asset needs, or is not bound to its DID."""

    code = "asset_malformed"
    text = "Asset malformed or disabled."


class AssetNotConsumable(AssetError):
    """State of the data NFT on chain is neither active (0) nor unlisted (5)."""

    code = "asset_not_consumable"
    text = "Asset is not consumable."


class AccessDenied(AssetError):
    """Credentials or the metadata store's state refuse this consumer."""

    code = "access_denied"
    text = "Access to the asset was denied."


class ServiceNotFound(AssetError):
    """The asset has no service with this id."""

    code = "service_not_found"
    text = "Invalid serviceId."


class ServiceTypeRefused(AssetError):
    """The service exists but is not of the type this endpoint serves."""

    code = "service_type_refused"
    text = "The service is not an access service."
