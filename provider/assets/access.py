"""May this consumer have this service of this asset? (pure; `provider-api.md` section 8.2)

Facts and a consumer's address in, nothing or a refusal out.
"""

from provider.assets.credentials import NO_MEMBERSHIPS, AccessList, Memberships, Verdict
from provider.assets.ddo import NO_TIMEOUT, Asset, Service
from provider.errors import AccessDenied, AssetMalformed, AssetNotConsumable, ServiceMalformed

# Data NFT states: 0 active, 5 unlisted.
_CONSUMABLE = (0, 5)


def check_access(
    asset: Asset, service: Service | None, consumer: str, memberships: Memberships = NO_MEMBERSHIPS
) -> None:
    """Points 1, 3 and 4 of the consumable check; `consumer` is an address in any case.

    Without a service only the asset's own rules are looked at. `memberships`: what the chains say about
    `access_lists_of` both. Raises AssetMalformed, or AccessDenied with the documented text. The state on chain
    (point 2) is `check_state`.
    """
    check_enabled(asset)
    check_credentials(asset, service, consumer, memberships)


def check_enabled(asset: Asset) -> None:
    """Points 1 and 3: what holds for every consumer. Raises AssetMalformed, AccessDenied.

    A store that says nothing about the state leaves it to the chain, which is asked in any case.
    """
    if asset.nft_address is None:
        raise AssetMalformed(detail="the DDO has no nft.address")
    is_disabled = asset.nft_state is not None and asset.nft_state not in _CONSUMABLE
    if asset.metadata_type is None or asset.deprecated or is_disabled:
        raise _denied(asset, "ASSET_DISABLED")


def check_timeout(service: Service) -> None:
    """Can an order of the service be valid at all? Nobody is to pay for one that cannot. Raises ServiceMalformed."""
    if service.timeout_seconds == NO_TIMEOUT:
        raise ServiceMalformed("timeout")


def check_credentials(asset: Asset, service: Service | None, consumer: str, memberships: Memberships) -> None:
    """Point 4: the lists of the asset and of the service must both admit the consumer. Raises AccessDenied."""
    for credentials in (asset.credentials, *((service.credentials,) if service else ())):
        verdict = credentials.verdict(consumer, memberships)
        if verdict is not Verdict.OK:
            raise _denied(asset, verdict.name)


def access_lists_of(asset: Asset, service: Service | None) -> tuple[AccessList, ...]:
    """The access lists that decide about this service; mostly none."""
    return asset.credentials.access_lists + (service.credentials.access_lists if service else ())


def check_state(state: int) -> None:
    """Point 2: state of the data NFT on chain. Raises AssetNotConsumable."""
    if state not in _CONSUMABLE:
        raise AssetNotConsumable


def _denied(asset: Asset, name: str) -> AccessDenied:
    return AccessDenied(f"Error: Access to asset {asset.did} was denied with code: ConsumableCodes.{name}.")
