"""Which Redis may hold nonces, from what it says about itself."""

import pytest

from provider.redis.health import judge

SAFE = {
    "redis_version": "7.2.1",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "connected_slaves": "2",
}


def test_safe_settings_need_no_words() -> None:
    found = judge([SAFE, {**SAFE, "connected_slaves": "1"}], ["always", None])
    assert (found.fatal, found.warnings, found.servers, found.replicas) == ("", (), 2, 1)
    assert found.version == "7.2.1"


@pytest.mark.parametrize(
    ("changes", "fsync", "fatal", "warning"),
    [
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "1000"}, "always", "evicts nonces", "would evict"),
        ({"maxmemory_policy": "allkeys-random"}, "always", "", "would evict nonces"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": "1000"}, "always", "", "revocations"),
        ({"aof_enabled": "0"}, "always", "", "appendonly is off"),
        ({}, "everysec", "", "appendfsync everysec"),
        ({}, "no", "", "appendfsync no"),
        ({"redis_version": "4.0.14"}, "always", "too old", ""),
        ({"redis_version": "5.0.0"}, "always", "", ""),
        ({"redis_version": "unheard of"}, "always", "", ""),
    ],
)
def test_what_endangers_nonces_is_said_of_any_server(
    changes: dict[str, str], fsync: str, fatal: str, warning: str
) -> None:
    found = judge([SAFE, {**SAFE, **changes}], ["always", fsync])
    assert bool(found.fatal) is bool(fatal)
    assert fatal in found.fatal
    assert len(found.warnings) == bool(warning)
    assert all(warning in text for text in found.warnings)


def test_two_servers_with_one_fault_are_one_warning() -> None:
    assert len(judge([{**SAFE, "aof_enabled": "0"}] * 3, [None] * 3).warnings) == 1
