"""Values that tests of the compute room are made of: assets, signed fees and receipts, all made here."""

import json
from decimal import Decimal

from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import did_for
from provider.chain.events import OrderReused, OrderStarted, ProviderFee, Receipt
from provider.chain.networks import Network
from provider.compute.items import Item, ResolvedItem
from provider.compute.orders import OrderedItem
from provider.compute.payment import Tariff
from provider.crypto.accounts import Account
from provider.orders.check import Order, OrderFacts
from provider.orders.fees import quote_fee

ACCOUNT = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
OTHER = Account.from_hex("5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8")
TOKEN = "0x00000000000000000000000000000000000000AA"
NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
DATATOKEN = "0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1"
CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
ENVIRONMENT_ADDRESS = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
NOW = 1_700_000_000.5
HOUR = 3600


def tx_id(number: int) -> str:
    return f"0x{number:064x}"


def asset(
    *, kind: str = "compute", compute: object = None, metadata_type: str = "dataset", **metadata: object
) -> Asset:
    service = {
        "id": "c0",
        "type": kind,
        "files": "0x",
        "datatokenAddress": DATATOKEN,
        "serviceEndpoint": "http://other.example",
        "timeout": 0,
        "compute": compute,
    }
    return parse_ddo(
        {
            "id": did_for(NFT, 1),
            "version": "4.1.0",
            "chainId": 1,
            "nftAddress": NFT,
            "metadata": {"type": metadata_type, **metadata},
            "services": [service],
            "nft": {"address": NFT, "state": 0, "owner": CONSUMER},
        }
    )


def network() -> Network:
    return Network(1, "mainnet", None, NFT, TOKEN, ACCOUNT)  # type: ignore[arg-type] - nothing is asked


def resolved(resource: str = "dataset", *, number: int = 1, userdata: object = None, **more: object) -> ResolvedItem:
    named = asset(**more)  # type: ignore[arg-type]
    item = Item(resource, named.did, "c0", tx_id(number), userdata)
    return ResolvedItem(item, named, network(), named.services[0])


def fee_event(
    *,
    amount: int,
    valid_until: int,
    environment: str | None = "env1",
    quoted_at: float = NOW - 60,
    account: Account = ACCOUNT,
    token: str = TOKEN,
    emitter: str = DATATOKEN,
    service_id: str = "c0",
) -> ProviderFee:
    quote = quote_fee(
        account,
        token=token,
        amount=amount,
        valid_until=valid_until,
        datatoken=DATATOKEN,
        service_id=service_id,
        environment=environment,
        now=quoted_at,
    )
    return ProviderFee(
        emitter=emitter,
        provider=account.address,
        token=token,
        amount=amount,
        provider_data=bytes.fromhex(quote["providerData"][2:]),
        v=quote["v"],
        r=bytes.fromhex(quote["r"][2:]),
        s=bytes.fromhex(quote["s"][2:]),
        valid_until=valid_until,
    )


def started(
    number: int = 1, *, consumer: str = ENVIRONMENT_ADDRESS, payer: str = CONSUMER, at: int = 0
) -> OrderStarted:
    return OrderStarted(DATATOKEN, consumer, payer, 10**18, 0, at or int(NOW) - 50, tx_id(number))


def receipt(fee: ProviderFee, number: int = 1, *, reuses: int | None = None, at: int = 0) -> Receipt:
    """An order, or the renewal of the order `reuses`, `at` this block time."""
    if reuses is not None:
        renewal = OrderReused(DATATOKEN, tx_id(reuses), CONSUMER, at or int(NOW) - 50)
        return Receipt(tx_id(number), True, 1, (), (renewal,), (fee,))
    return Receipt(tx_id(number), True, 1, (started(number, at=at),), (), (fee,))


def tariff(price: str = "1", *, token: str = TOKEN, decimals: int = 18) -> Tariff:
    return Tariff(Decimal(price), token, decimals)


def order(fee: ProviderFee, *, number: int = 1, started_in: int | None = None) -> Order:
    return Order(tx_id(number), tx_id(started_in or number), ENVIRONMENT_ADDRESS, CONSUMER, fee, int(NOW) - 50)


def ordered(
    fee: ProviderFee,
    resource: str = "dataset",
    *,
    number: int = 1,
    genuine: bool = True,
    price: Tariff | None = None,
    facts: OrderFacts | None = None,
) -> OrderedItem:
    known = facts if facts is not None else OrderFacts(True, receipt(fee, number))
    return OrderedItem(resolved(resource, number=number), tx_id(number), genuine, known, price or tariff())


def provider_data(fee: dict[str, object]) -> dict[str, object]:
    fields: dict[str, object] = json.loads(bytes.fromhex(str(fee["providerData"])[2:]))
    return fields
