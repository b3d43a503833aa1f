"""Settings of proofs: which way, what they may cost, and what is refused."""

from pathlib import Path

import pytest

from provider.config import SettingsError
from provider.config.load import load_settings
from provider.proofs.config import ProofConfig
from provider.setting import PerChain

GWEI = 10**9
SINGLE = {
    "NETWORK_URL": "http://127.0.0.1:8545",
    "PROVIDER_PRIVATE_KEY": "0x" + "fd" * 32,
}


def proofs(**environ: str) -> ProofConfig:
    return load_settings({**SINGLE, **environ}).proofs


def test_there_are_no_proofs_unless_asked_for() -> None:
    assert (proofs().http_url, proofs().on_chain) == (None, False)
    assert (proofs(USE_HTTP_PROOF="", USE_CHAIN_PROOF="").on_chain) is False


def test_http_wins_and_says_so() -> None:
    settings = load_settings({**SINGLE, "USE_HTTP_PROOF": "http://u:hunter2@host/p", "USE_CHAIN_PROOF": "true"})
    assert (settings.proofs.http_url, settings.proofs.on_chain) == ("http://u:hunter2@host/p", False)
    assert any(warning.what.startswith("USE_CHAIN_PROOF is ignored") for warning in settings.warnings)
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "default", "by_chain"),
    [
        ("2.5", 2_500_000_000, {}),
        ('{"1": 20, "137": "300"}', 100 * GWEI, {1: 20 * GWEI, 137: 300 * GWEI}),
    ],
    ids=["one", "per chain"],
)
def test_fee_bound_is_one_number_or_one_per_chain(text: str, default: int, by_chain: dict[int, int]) -> None:
    found = proofs(PROVIDER_PROOF_MAX_FEE_GWEI=text)
    assert found.max_fee_wei == PerChain(default, by_chain)


def test_file_has_the_same_settings(tmp_path: Path) -> None:
    config = tmp_path / "p.toml"
    config.write_text(
        '[proofs]\non_chain = true\nmax_fee_gwei = { "1" = 20.5 }\nmax_queued = 7\nmax_age_seconds = 60\n'
        "period_seconds = 5\nmax_per_order = 3\nmax_per_day = 0\n"
    )
    found = load_settings(SINGLE, str(config)).proofs
    assert found == ProofConfig(
        http_url=None,
        on_chain=True,
        max_fee_wei=PerChain(100 * GWEI, {1: 20_500_000_000}),
        max_queued=7,
        max_age_seconds=60.0,
        period_seconds=5.0,
        max_per_order=3,
        max_per_day=0,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("USE_HTTP_PROOF", "true"),
        ("USE_HTTP_PROOF", "ftp://host/"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", "0"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", "-1"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", "nan"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", "much"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", "1e7"),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", '{"mainnet": 1}'),
        ("PROVIDER_PROOF_MAX_FEE_GWEI", '{"1": [1]}'),
        ("PROVIDER_PROOF_MAX_QUEUED", "0"),
        ("PROVIDER_PROOF_MAX_AGE_SECONDS", "0"),
    ],
)
def test_bad_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        proofs(**{variable: value})
    assert [fault.split(" ")[0] for fault in caught.value.faults] == [variable]
