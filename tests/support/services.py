"""A service as a DDO describes it, for tests of orders."""

from provider.assets.compute_options import parse_compute_options
from provider.assets.credentials import parse_credentials
from provider.assets.ddo import Service


def service(service_id: str, *, index: int, datatoken: str, timeout_seconds: int = 3600) -> Service:
    return Service(
        index=index,
        id=service_id,
        type="access",
        files="",
        datatoken=datatoken,
        endpoint="",
        timeout_seconds=timeout_seconds,
        credentials=parse_credentials(None),
        compute=parse_compute_options(None, strict=False),
    )
