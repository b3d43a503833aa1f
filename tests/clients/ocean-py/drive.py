"""ocean.py against a running Provider: publish, order, download, reuse, and the other calls of its data provider.

One JSON line on stdout per step, as `steps.mjs` writes them.
"""

import hashlib
import json
import sys
from pathlib import Path

import enforce_typing
from eth_account import Account

# The library's run-time type checker fails on every `Any` since Python 3.11; nothing of what is sent depends on it.
enforce_typing.enforce_types = lambda function: function

from ocean_lib.data_provider.data_encryptor import DataEncryptor  # noqa: E402
from ocean_lib.data_provider.data_service_provider import DataServiceProvider  # noqa: E402
from ocean_lib.data_provider.fileinfo_provider import FileInfoProvider  # noqa: E402
from ocean_lib.example_config import get_config_dict  # noqa: E402
from ocean_lib.ocean.ocean import Ocean  # noqa: E402
from ocean_lib.ocean.util import to_wei  # noqa: E402

stage = json.load(sys.stdin)


def report(step, **more):
    print("\n" + json.dumps({"step": step, **more}), flush=True)


def step(name, work):
    """A step that has to succeed: a failure ends the driver."""
    try:
        value = work()
    except Exception as error:
        report(name, error=f"{type(error).__name__}: {error}")
        raise
    report(name, value=value if isinstance(value, dict | list | str | int | bool | None) else str(value))
    return value


def refused(name, work):
    """A step that has to be refused."""
    try:
        report(name, value=str(work()))
    except Exception as error:
        report(name, error=f"{type(error).__name__}: {error}")


config = get_config_dict(stage["rpc"])
config["METADATA_CACHE_URI"], config["PROVIDER_URL"] = stage["aquarius"], stage["provider"]
ocean = Ocean(config)
publisher, consumer = (Account.from_key(stage[key]) for key in ("publisherKey", "consumerKey"))
provider = stage["provider"]

step("is_valid_provider", lambda: DataServiceProvider.is_valid_provider(provider))
step("is_valid_provider_elsewhere", lambda: DataServiceProvider.is_valid_provider(stage["aquarius"]))
step("get_provider_address", lambda: DataServiceProvider.get_provider_address(provider, stage["chainId"]))
step("encrypt", lambda: DataEncryptor.encrypt({"hello": "world"}, provider, stage["chainId"]).text)
url_object = {"type": "url", "url": stage["files"][0], "method": "GET"}
step("check_single_file_info", lambda: DataServiceProvider.check_single_file_info(url_object, provider))


assets = []


def publish():
    assets.extend(ocean.assets.create_url_asset("Python", stage["files"][0], {"from": publisher}))
    return assets[-1].did


step("create_url_asset", publish)
_, datatoken, ddo = assets
service = ddo.services[0]
step("resolve", lambda: ocean.assets.resolve(ddo.did).as_dictionary())
step("check_asset_file_info", lambda: DataServiceProvider.check_asset_file_info(ddo.did, service.id, provider))
step("fileinfo", lambda: FileInfoProvider.fileinfo(ddo.did, service, with_checksum=True).json())
quote = step("initialize", lambda: DataServiceProvider.initialize(ddo.did, service, consumer.address).json())
step(
    "initialize_userdata",
    lambda: DataServiceProvider.initialize(ddo.did, service, consumer.address, {"colour": "blau grün py"}).json(),
)
refused("initialize_unknown", lambda: DataServiceProvider.initialize("did:op:" + "0" * 64, service, consumer.address))
refused("fileinfo_unknown", lambda: FileInfoProvider.fileinfo("did:op:" + "0" * 64, service))

step("mint", lambda: datatoken.mint(consumer, to_wei(2), {"from": publisher})["status"])
order = step("pay_for_access_service", lambda: ocean.assets.pay_for_access_service(ddo, {"from": consumer}).hex())


def download(name, tx, **more):
    folder = Path(ocean.assets.download_asset(ddo, consumer, name, tx, **more))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


step("download_asset", lambda: download("first", order))
step("download_asset_userdata", lambda: download("userdata", order, userdata={"colour": "blau grün py"}))
refused("download_asset_unpaid", lambda: download("unpaid", "0x" + "12" * 32))


def reuse():
    return datatoken.reuse_order(order, quote["providerFee"], {"from": consumer}).transactionHash.hex()


reused = step("reuse_order", reuse)
step("download_asset_reused", lambda: download("reused", reused))
service.service_endpoint = provider + "/"
step("slash_initialize", lambda: DataServiceProvider.initialize(ddo.did, service, consumer.address).json())
step("slash_download", lambda: download("slash", order))
step("end", lambda: "reached")
