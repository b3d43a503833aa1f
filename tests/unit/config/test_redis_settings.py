"""Where Redis is: every form of REDIS_CONNECTION, and faults that repeat nothing of it."""

from pathlib import Path

import pytest

from provider.config.load import load_settings
from provider.config.reader import SettingsError
from provider.redis.config import RedisConfig
from provider.redis.url import parse_target

SINGLE = {"NETWORK_URL": "http://node:8545", "PROVIDER_PRIVATE_KEY": "0x" + "1" * 64}


def redis_of(**environ: str) -> RedisConfig:
    redis = load_settings({**SINGLE, **environ}).redis
    assert redis is not None
    return redis


def faults_of(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings({**SINGLE, **environ})
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "kind", "nodes", "service", "database", "user", "password", "tls"),
    [
        ("redis://h", "single", (("h", 6379),), "", 0, None, None, False),
        ("redis://:p%40ss@h:7000/2", "single", (("h", 7000),), "", 2, None, "p@ss", False),
        ("rediss://u:p@[::1]:7000?db=3", "single", (("::1", 7000),), "", 3, "u", "p", True),
        ("redis+sentinel://a,b:9/main", "sentinel", (("a", 26379), ("b", 9)), "main", 0, None, None, False),
        ("rediss+sentinel://u:p@a:1/main/4", "sentinel", (("a", 1),), "main", 4, "u", "p", True),
        ("redis+cluster://a:1,b:2,a:1", "cluster", (("a", 1), ("b", 2)), "", 0, None, None, False),
        ("REDIS://h/", "single", (("h", 6379),), "", 0, None, None, False),
    ],
)
def test_every_form_is_understood(
    text: str, kind: str, nodes: object, service: str, database: int, user: object, password: object, tls: bool
) -> None:
    target = parse_target(text)
    assert (target.kind, target.nodes, target.service, target.database) == (kind, nodes, service, database)
    assert (target.username, target.password, target.uses_tls) == (user, password, tls)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("planted", "must begin with redis://"),
        ("unix:///planted", "must begin with redis://"),
        ("redis://", "host:port"),
        ("redis://planted host", "host:port"),
        ("redis://planted:0", "port outside"),
        ("redis://planted:99999", "port outside"),
        ("redis://planted,planted2", "several nodes"),
        ("redis://planted@h", "without a password"),
        ("redis://u:pl/anted@h", "percent-encoded"),
        ("redis://h/planted", "number of a database"),
        ("redis://h/1/2", "number of a database"),
        ("redis://h?planted=1", "parameter other than db"),
        ("redis+sentinel://planted", "name the service"),
        ("redis+cluster://h/1", "only the database 0"),
    ],
)
def test_what_is_wrong_is_named_without_the_url(text: str, words: str) -> None:
    faults = faults_of(REDIS_CONNECTION=text)
    assert len(faults) == 1
    assert faults[0].startswith("REDIS_CONNECTION (file: redis.connection): ")
    assert words in faults[0]
    assert "planted" not in faults[0]


def test_passwords_are_in_no_repr() -> None:
    settings = load_settings(
        {**SINGLE, "REDIS_CONNECTION": "redis://u:planted@h", "PROVIDER_REDIS_SENTINEL_PASSWORD": "planted"}
    )
    assert settings.redis is not None
    assert (settings.redis.target.password, settings.redis.target.sentinel_password) == ("planted", "planted")
    assert "planted" not in repr(settings)
    assert "planted" not in repr(settings.redis.target)


def test_without_a_connection_there_is_nothing_to_share() -> None:
    assert load_settings({**SINGLE, "PROVIDER_REDIS_PREFIX": "x"}).redis is None


def test_defaults_and_values(tmp_path: Path) -> None:
    redis = redis_of(REDIS_CONNECTION="redis://h")
    assert (redis.prefix, redis.timeout_seconds, redis.wait_replicas, redis.shares_facts) == (
        "ocean-provider",
        2.0,
        0,
        True,
    )
    path = tmp_path / "redis"
    path.write_text("redis+cluster://h\n")
    redis = redis_of(
        REDIS_CONNECTION_FILE=str(path),
        PROVIDER_REDIS_PREFIX="one:two",
        PROVIDER_REDIS_TIMEOUT_SECONDS="0.5",
        PROVIDER_REDIS_WAIT_REPLICAS="2",
        PROVIDER_REDIS_SHARE_FACTS="no",
    )
    assert redis.target.kind == "cluster"
    assert (redis.prefix, redis.timeout_seconds, redis.wait_replicas, redis.shares_facts) == ("one:two", 0.5, 2, False)


def test_faults_beside_the_url_are_named(tmp_path: Path) -> None:
    no_pem = tmp_path / "ca.pem"
    no_pem.write_text("planted")
    url = {"REDIS_CONNECTION": "rediss://h"}
    assert "holds no PEM" in faults_of(**url, PROVIDER_REDIS_CA_FILE=str(no_pem))[0]
    assert "cannot read" in faults_of(**url, PROVIDER_REDIS_CA_FILE=str(tmp_path / "missing"))[0]
    assert "letters, digits" in faults_of(**url, PROVIDER_REDIS_PREFIX="{tag}")[0]
    assert "not both" in faults_of(**url, REDIS_CONNECTION_FILE=str(no_pem))[0]
    assert "cannot read" in faults_of(REDIS_CONNECTION_FILE=str(tmp_path / "missing"))[0]
    assert faults_of(REDIS_CONNECTION_FILE=str(no_pem))[0].startswith("REDIS_CONNECTION_FILE")
