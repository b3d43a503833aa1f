"""`docs/deploy.md` leaves out no variable of Provider 2.1, and names no file or setting that is not there."""

import re

from tests.deploy.fronts import ROOT

PAGE = (ROOT / "docs/deploy.md").read_text()
# `provider-api.md` section 14.
OLD_VARIABLES = (
    "NETWORK_URL",
    "PROVIDER_PRIVATE_KEY",
    "UNIVERSAL_PRIVATE_KEY",
    "PROVIDER_FEE_TOKEN",
    "ADDRESS_FILE",
    "AQUARIUS_URL",
    "OPERATOR_SERVICE_URL",
    "REDIS_CONNECTION",
    "STORAGE_PATH",
    "AUTHORIZED_DECRYPTERS",
    "ALLOW_NON_PUBLIC_IP",
    "IPFS_GATEWAY",
    "ARWEAVE_GATEWAY",
    "REQUEST_RETRIES",
    "REQUEST_TIMEOUT",
    "MAX_CHECKSUM_LENGTH",
    "RBAC_SERVER_URL",
    "PRIVATE_PROVIDER",
    "USE_HTTP_PROOF",
    "USE_CHAIN_PROOF",
    "LOG_LEVEL",
    "LOG_CFG",
    "OCEAN_PROVIDER_URL",
    "OCEAN_PROVIDER_WORKERS",
    "OCEAN_PROVIDER_TIMEOUT",
    "ARTIFACTS_PATH",
    "DEPLOY_CONTRACTS",
    "PARITY_URL",
    "PROVIDER_ADDRESS",
    "AZURE_*",
)
NOT_SETTINGS = {"PROVIDER_ADDRESS", "OCEAN_PROVIDER_TIMEOUT"}


def test_every_variable_of_the_old_server_has_a_row() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| `")]
    told = {name: fate.strip() for names, fate in rows for name in re.findall(r"`([^`]+)`", names)}
    for variable in OLD_VARIABLES:
        assert told.get(variable) in {"same", "changed", "ignored", "replaced"}, variable


def test_the_settings_that_it_names_exist() -> None:
    described = (ROOT / "conf/provider.toml").read_text()
    for variable in set(re.findall(r"\b(?:PROVIDER|OCEAN)_[A-Z_]+[A-Z]\b", PAGE)) - NOT_SETTINGS:
        assert variable in described, variable


def test_the_files_that_it_names_exist() -> None:
    for path in set(re.findall(r"`((?:conf|docs|benchmarks|tests)/[\w./-]+)`", PAGE)):
        assert (ROOT / path).exists(), path
    for heading in re.findall(r"\]\(#([a-z-]+)\)", PAGE):
        assert any(heading == line.strip("# ").lower().replace(" ", "-") for line in PAGE.splitlines()), heading
