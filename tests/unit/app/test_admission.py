"""Which limits are shared over workers and hosts: those of a client, and none that protect a process."""

import pytest

from provider.admission.buckets import Buckets
from provider.app.admission import build_admission
from provider.config.load import load_settings

KEY = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
LEAST = {"NETWORK_URL": "http://127.0.0.1:8545", "PROVIDER_PRIVATE_KEY": f"0x{KEY}"}


def shared(**settings: str) -> dict[str, Buckets]:
    """The buckets that were given to be shared, by name."""
    found: dict[str, Buckets] = {}

    def share(name: str, buckets: Buckets) -> None:
        assert name not in found
        found[name] = buckets

    build_admission(load_settings({**LEAST, **settings}), share)
    return found


def test_buckets_of_clients_are_shared_each_kind_under_its_name() -> None:
    found = shared(PROVIDER_PAID_REQUESTS_PER_SECOND="10", PROVIDER_PAID_BURST="50")
    assert found.keys() == {"cheap", "guarded", "paid", "links", "checksums", "encrypt"}
    assert found["paid"].burst_seconds == pytest.approx(5.0)
    # A client's quarter of what all may take, whose own buckets hold one entry.
    assert all(buckets.max_clients > 1 for buckets in found.values())


def test_a_limit_that_is_off_is_not_shared() -> None:
    assert "paid" not in shared(PROVIDER_PAID_REQUESTS_PER_SECOND="0")
    assert "encrypt" not in shared(PROVIDER_ENCRYPT_BYTES_PER_SECOND="0")
