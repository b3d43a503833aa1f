"""An asset with one access service, open to everybody. Tests of single rules change one thing of it."""

from provider.assets.compute_options import ComputeOptions
from provider.assets.credentials import EVERYBODY
from provider.assets.ddo import Asset, Service

NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
DATATOKEN = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
SERVICE = Service(
    index=0,
    id="s",
    type="access",
    files="",
    datatoken=DATATOKEN,
    endpoint="",
    timeout_seconds=0,
    credentials=EVERYBODY,
    compute=ComputeOptions(present=False),
)
ASSET = Asset(
    did="did:op:x",
    version="4.1.0",
    chain_id=1,
    data_nft=NFT,
    nft_address=NFT,
    nft_state=0,
    nft_owner=None,
    metadata_tx_id=None,
    metadata_type="dataset",
    container=None,
    services=(SERVICE,),
    credentials=EVERYBODY,
)
