"""`provider backup DIR`: copies the state of this host while the server runs."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from provider import __version__
from provider.commands.backup.manifest import FILE_NAME, Manifest, sha256_of
from provider.commands.backup.stores import copy_database, stores_of, sync, write_private
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import StoreError

EXIT_FAILED = 1
SETTINGS_FILE, KEYS_FILE = "settings.json", "keys.env"


def backup(
    folder: Path, settings: Settings, plain: Mapping[str, object], left_out: Sequence[str], *, with_keys: bool
) -> int:
    """Write a backup into a new or empty folder and return the exit status.

    `plain`, `left_out`: the settings without secrets, and the names of the others. `with_keys`: write the keys too.
    """
    try:
        _make_folder(folder)
        names = [SETTINGS_FILE]
        given = {"settings": plain, "left_out": left_out}
        write_private(folder / SETTINGS_FILE, orjson.dumps(given, option=orjson.OPT_INDENT_2, default=str).decode())
        if with_keys:
            names.append(KEYS_FILE)
            write_private(folder / KEYS_FILE, _keys(settings))
        for store in stores_of(settings):
            if store.path.is_file():
                copy_database(store.path, folder / store.file_name)
                names.append(store.file_name)
                print(f"{store.name}: {(folder / store.file_name).stat().st_size} bytes of {store.path}")
            else:
                print(f"{store.name}: none ({store.path} does not exist)")
        write_private(folder / FILE_NAME, _manifest(folder, settings, names).text())
        sync(folder)
    except StoreError as error:
        print(f"provider: {error.detail}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"provider: {error.filename or folder}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    if settings.redis is not None:
        print("nonces and revoked tokens are in Redis: back up Redis with its own tools (docs/scaling.md)")
    print(f"keys: {f'in {KEYS_FILE}: keep this folder secret' if with_keys else 'not included (see --with-keys)'}")
    print(f"done: {folder}")
    return 0


def _make_folder(folder: Path) -> None:
    """Raises OSError, and StoreError for a folder with files."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StoreError(detail=f"{folder} is not empty: name a new or an empty folder")
    os.chmod(folder, 0o700)


def _manifest(folder: Path, settings: Settings, names: Sequence[str]) -> Manifest:
    return Manifest(
        version=__version__,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        address=Account.from_hex(settings.security.universal_key).address,
        chain_addresses=chain_addresses(settings),
        files={name: sha256_of(folder / name) for name in names},
    )


def chain_addresses(settings: Settings) -> dict[str, str]:
    """The Provider's addresses by chain id; "" for a single chain, whose id comes from its node."""
    return {
        str(chain.chain_id or ""): Account.from_hex(chain.private_key).address
        for chain in sorted(settings.chains, key=lambda chain: chain.chain_id or 0)
    }


def _keys(settings: Settings) -> str:
    """Lines for an environment file."""
    keys = {str(chain.chain_id or ""): chain.private_key for chain in settings.chains}
    one = next(iter(keys.values()))
    own = one if set(keys) == {""} else orjson.dumps(keys).decode()
    return f"PROVIDER_PRIVATE_KEY={own}\nUNIVERSAL_PRIVATE_KEY={settings.security.universal_key}\n"
