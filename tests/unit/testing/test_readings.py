"""Arithmetic on two scrapes."""

import os

from provider.testing.readings import Readings, session_cpu_seconds

BEFORE = Readings({("requests_total", (("endpoint", "download"), ("status", "200"))): 2.0})
AFTER = Readings(
    {
        ("requests_total", (("endpoint", "download"), ("status", "200"))): 5.0,
        ("requests_total", (("endpoint", "download"), ("status", "400"))): 1.0,
        ("requests_total", (("endpoint", "nonce"), ("status", "200"))): 4.0,
        ("other", ()): 0.0,
    }
)


def test_difference_counts_new_samples_from_zero() -> None:
    moved = AFTER.since(BEFORE)
    assert moved.total("requests_total") == 8.0
    assert moved.total("requests_total", endpoint="download") == 4.0
    assert moved.total("requests_total", endpoint="download", status="200") == 3.0


def test_groups_leave_zeros_out() -> None:
    moved = AFTER.since(BEFORE)
    assert moved.by("requests_total", "endpoint", "status") == {
        ("download", "200"): 3.0,
        ("download", "400"): 1.0,
        ("nonce", "200"): 4.0,
    }
    assert moved.by("other", "endpoint") == {}


def test_own_session_has_used_processor_time() -> None:
    used = session_cpu_seconds(os.getsid(0))
    assert used is None or used > 0


def test_session_that_does_not_exist_has_no_reading() -> None:
    assert session_cpu_seconds(-1) is None
