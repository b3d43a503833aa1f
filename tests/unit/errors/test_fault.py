"""Whose fault each error code is."""

import pytest

from provider.errors import ComputeRefused, ProviderError
from provider.errors.compute import COMPUTE_REASONS
from provider.errors.document import STREAM_ENDS, error_classes
from provider.errors.fault import fault_of


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("order_expired", "consumer"),
        ("nonce_refused", "consumer"),
        ("too_many_requests", "consumer"),
        ("consumer_gone", "consumer"),
        ("link_expired", "consumer"),
        # Files that are gone, too.
        ("upstream_refused", "origin"),
        ("upstream_truncated", "origin"),
        ("files_undecryptable", "origin"),
        ("asset_malformed", "origin"),
        ("compute_file_unavailable", "origin"),
        ("server_busy", "ours"),
        ("origins_busy", "ours"),
        ("chain_unavailable", "ours"),
        ("operator_unavailable", "ours"),
        ("internal", "ours"),
        ("never heard of", "ours"),
    ],
)
def test_each_code_is_the_fault_of_one(code: str, fault: str) -> None:
    assert fault_of(code) == fault


def test_codes_that_several_classes_share_are_the_fault_of_one() -> None:
    by_code: dict[str, set[str]] = {}
    for error in error_classes():
        by_code.setdefault(error.code, set()).add(error.fault)
    assert {code: faults for code, faults in by_code.items() if len(faults) > 1} == {}


def test_a_5xx_is_never_the_consumers_fault() -> None:
    assert [error for error in error_classes() if error.http_status >= 500 and error.fault == "consumer"] == []


@pytest.mark.parametrize("reason", [*COMPUTE_REASONS, "access to the asset was denied"])
def test_a_refused_compute_request_knows_its_fault(reason: str) -> None:
    error = ComputeRefused("dataset", reason)
    assert error.fault == fault_of(error.code)


def test_every_early_end_of_a_stream_has_a_fault_of_its_own_side() -> None:
    assert {end: fault_of(end) for end in STREAM_ENDS} == {
        end: "origin" if end.startswith("upstream") else "consumer" for end in STREAM_ENDS
    }


def test_an_unexpected_fault_is_ours() -> None:
    assert ProviderError().fault == "ours"
