"""The asset or service cannot be consumed."""

from provider.errors.base import Fault, ProviderError


class AssetError(ProviderError):
    """Base of refusals about the asset, its service or the consumer's access to it."""

    code = "asset_refused"
    fault: Fault = "consumer"
    http_status = 400


class AssetNotFound(AssetError):
    """There is no DDO for the DID."""

    code = "asset_not_found"
    remedy = "Check the DID. It takes a moment until the metadata store or the chain's index has a new asset."
    text = "Cannot resolve DID"


class DdoNotFound(AssetError):
    """A client of the metadata store's paths asked for a DDO that neither the index nor the store has."""

    code = "ddo_not_found"
    http_status = 404
    remedy = (
        "Check the DID. It takes a moment until the metadata store or the chain's index has a new asset. The index has "
        "only documents that this Provider can decrypt. Operator: `AUTHORIZED_PUBLISHERS` may exclude it."
    )
    text = "DDO not found"


class PublisherNotAuthorized(AssetError):
    """Somebody who may not publish here requested the check of a DDO (`AUTHORIZED_PUBLISHERS`)."""

    code = "publisher_not_authorized"
    http_status = 403
    remedy = (
        "Sign the request with an authorized address. Operator: add the address to `AUTHORIZED_PUBLISHERS`, or to an "
        "access list of `AUTHORIZED_PUBLISHERS_LIST`."
    )
    text = "Publisher not authorized"


class DocumentSealed(AssetError):
    """The DDO is encrypted on chain, and only some addresses may read it (`AUTHORIZED_DECRYPTERS`)."""

    code = "document_sealed"
    http_status = 403
    remedy = "Ask an indexer that may decrypt it. Operator: the list of decrypters holds for this path too."
    text = "This DDO is encrypted, and only authorized addresses may read it."


class AssetMalformed(AssetError):
    """The DDO lacks a part that a consumable asset needs, or is not bound to its DID."""

    code = "asset_malformed"
    fault: Fault = "origin"
    remedy = "Publisher: correct the DDO and publish it again."
    text = "Asset malformed or disabled."


class AssetNotConsumable(AssetError):
    """The state of the data NFT on chain is neither active (0) nor unlisted (5)."""

    code = "asset_not_consumable"
    remedy = "Publisher: set the data NFT's state to active (0) or unlisted (5)."
    text = "Asset is not consumable."


class AccessDenied(AssetError):
    """The credentials, or the state in the metadata store, do not admit this consumer."""

    code = "access_denied"
    remedy = "Use an address that the asset's credentials admit, or ask the publisher to admit yours."
    text = "Access to the asset was denied."


class ServiceNotFound(AssetError):
    """The asset has no service with this id."""

    code = "service_not_found"
    remedy = "Use the `id` of one of the services in the DDO, not its index."
    text = "Invalid serviceId."


class ServiceTypeRefused(AssetError):
    """The service exists, but this endpoint does not serve its type."""

    code = "service_type_refused"
    remedy = "Use the endpoints for services of this type; for compute, begin with initializeCompute."
    text = "The service is not an access service."


class ServiceMalformed(AssetError):
    """The service is in the DDO, but a field that it needs is missing or malformed."""

    code = "service_malformed"
    fault: Fault = "origin"
    remedy = "Publisher: correct the field that the text names and publish the DDO again."
    text = "The service cannot be used: a field in the DDO is missing or malformed."
    other_texts = ("The service cannot be used: its <field> in the DDO is missing or malformed.",)

    def __init__(self, field: str) -> None:
        super().__init__(f"The service cannot be used: its {field} in the DDO is missing or malformed.")
