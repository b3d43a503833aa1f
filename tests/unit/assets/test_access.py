"""Access to an asset: state, metadata, credentials of asset and service, with the documented texts."""

from dataclasses import replace

import pytest

from provider.assets.access import access_lists_of, check_credentials, check_enabled, check_state
from provider.assets.credentials import NO_MEMBERSHIPS, AccessList, Memberships, parse_credentials
from provider.assets.ddo import Asset, Service
from provider.errors import AccessDenied, AssetMalformed, AssetNotConsumable
from tests.support.assets import ASSET, NFT, SERVICE

ME = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
DENY_ME = parse_credentials({"deny": [{"type": "address", "values": [ME]}]})
ALLOW_OTHER = parse_credentials({"allow": [{"type": "address", "values": [NFT]}]})


def check_access(
    asset: Asset, service: Service | None, consumer: str, memberships: Memberships = NO_MEMBERSHIPS
) -> None:
    """As the gate does it."""
    check_enabled(asset)
    check_credentials(asset, service, consumer, memberships)


def text(name: str) -> str:
    return f"Error: Access to asset did:op:x was denied with code: ConsumableCodes.{name}."


@pytest.mark.parametrize("state", [0, 5])
def test_active_and_unlisted_assets_are_consumable(state: int) -> None:
    check_state(state)
    check_access(replace(ASSET, nft_state=state), SERVICE, ME)
    check_access(replace(ASSET, nft_state=state), None, ME.lower())


@pytest.mark.parametrize("state", [1, 2, 3, 4, 6, 255, -1])
def test_other_states_are_not_consumable(state: int) -> None:
    with pytest.raises(AssetNotConsumable, match=r"^Asset is not consumable\.$"):
        check_state(state)
    with pytest.raises(AccessDenied) as caught:
        check_access(replace(ASSET, nft_state=state), SERVICE, ME)
    assert str(caught.value) == text("ASSET_DISABLED")


def test_chain_decides_where_the_store_says_nothing_about_the_state() -> None:
    check_access(replace(ASSET, nft_state=None), SERVICE, ME)
    for state in (1, 2, 3, 4):
        with pytest.raises(AssetNotConsumable):
            check_state(state)


@pytest.mark.parametrize("changes", [{"nft_state": -1}, {"metadata_type": None}, {"version": "deprecated"}], ids=str)
def test_asset_without_readable_state_or_metadata_is_disabled(changes: dict[str, object]) -> None:
    with pytest.raises(AccessDenied) as caught:
        check_access(replace(ASSET, **changes), SERVICE, ME)  # type: ignore[arg-type]
    assert str(caught.value) == text("ASSET_DISABLED")


def test_asset_without_nft_is_malformed() -> None:
    with pytest.raises(AssetMalformed, match=r"^Asset malformed or disabled\.$"):
        check_access(replace(ASSET, nft_address=None), SERVICE, ME)


@pytest.mark.parametrize("on_service", [False, True], ids=["asset", "service"])
@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        (DENY_ME, "CREDENTIAL_IN_DENY_LIST"),
        (ALLOW_OTHER, "CREDENTIAL_NOT_IN_ALLOW_LIST"),
        (parse_credentials("broken"), "CREDENTIAL_NOT_IN_ALLOW_LIST"),
    ],
    ids=["denied", "not allowed", "malformed"],
)
def test_credentials_of_asset_and_service_both_count(credentials: object, name: str, on_service: bool) -> None:
    asset, service = ASSET, SERVICE
    if on_service:
        service = replace(SERVICE, credentials=credentials)  # type: ignore[arg-type]
    else:
        asset = replace(ASSET, credentials=credentials)  # type: ignore[arg-type]
    with pytest.raises(AccessDenied) as caught:
        check_access(asset, service, ME)
    assert str(caught.value) == text(name)


def test_credentials_of_another_service_do_not_count() -> None:
    asset = replace(ASSET, services=(SERVICE, replace(SERVICE, id="t", credentials=DENY_ME)))
    check_access(asset, SERVICE, ME)


def test_access_lists_of_asset_and_service_are_both_needed() -> None:
    def listed(chain_id: int) -> object:
        return parse_credentials({"allow": [{"type": "accessList", "chainId": chain_id, "accessList": NFT}]})

    asset, service = replace(ASSET, credentials=listed(1)), replace(SERVICE, credentials=listed(2))  # type: ignore[arg-type]
    first, second = AccessList(1, NFT), AccessList(2, NFT)
    assert access_lists_of(asset, service) == (first, second)
    check_access(asset, service, ME, {first: True, second: True})
    with pytest.raises(AccessDenied):
        check_access(asset, service, ME, {first: True, second: False})
