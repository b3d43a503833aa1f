"""Decides whether a consumer may use a service of an asset (pure; `provider-api.md` section 8.2).

Takes facts and the consumer's address, and returns nothing or raises a refusal.
"""

from provider.assets.credentials import AccessList, Memberships, Verdict
from provider.assets.ddo import NO_TIMEOUT, Asset, Service
from provider.errors import AccessDenied, AssetMalformed, AssetNotConsumable, ServiceMalformed

# Data NFT states: 0 active, 5 unlisted.
_CONSUMABLE = (0, 5)


def check_enabled(asset: Asset) -> None:
    """Points 1 and 3, which hold for every consumer; `check_state` does point 2. Raises AssetMalformed, AccessDenied.

    If the store does not name the state, the chain decides; it is asked in any case.
    """
    if asset.nft_address is None:
        raise AssetMalformed(detail="the DDO has no nft.address")
    is_disabled = asset.nft_state is not None and asset.nft_state not in _CONSUMABLE
    if asset.metadata_type is None or asset.deprecated or is_disabled:
        raise _denied(asset, "ASSET_DISABLED")


def check_timeout(service: Service) -> None:
    """Raise ServiceMalformed if no order of the service can ever be valid, so that nobody pays for one."""
    if service.timeout_seconds == NO_TIMEOUT:
        raise ServiceMalformed("timeout")


def check_credentials(asset: Asset, service: Service | None, consumer: str, memberships: Memberships) -> None:
    """Point 4: the lists of the asset and of the service must both admit the consumer. Raises AccessDenied.

    Args:
        asset: the asset.
        service: None to apply the asset's own rules only.
        consumer: address in any case.
        memberships: those in `access_lists_of` both, from the chains.
    """
    for credentials in (asset.credentials, *((service.credentials,) if service else ())):
        verdict = credentials.verdict(consumer, memberships)
        if verdict is not Verdict.OK:
            raise _denied(asset, verdict.name)


def access_lists_of(asset: Asset, service: Service | None) -> tuple[AccessList, ...]:
    """The access lists that decide about this service; usually none."""
    return asset.credentials.access_lists + (service.credentials.access_lists if service else ())


def check_state(state: int) -> None:
    """Point 2: the state of the data NFT on chain. Raises AssetNotConsumable."""
    if state not in _CONSUMABLE:
        raise AssetNotConsumable


def _denied(asset: Asset, name: str) -> AccessDenied:
    return AccessDenied(f"Error: Access to asset {asset.did} was denied with code: ConsumableCodes.{name}.")
