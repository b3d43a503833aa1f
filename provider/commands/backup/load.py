"""`provider restore DIR`: puts the files of a backup where the settings want them, while no server runs."""

import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from provider.commands.backup.manifest import Manifest, read_manifest
from provider.commands.backup.save import chain_addresses
from provider.commands.backup.stores import NONCES, Store, copy_checked, locked, remove_copy, stores_of
from provider.commands.import_nonces import import_nonces
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import StoreError
from provider.sqlite import explain

EXIT_FAILED = 1


def restore(folder: Path, settings: Settings, *, overwrite: bool) -> int:
    """Restore a backup and return the exit status. Everything is checked before anything is changed.

    `overwrite`: replace files that exist. Nonces are never lowered: those of the backup are added to the existing ones.
    """
    try:
        manifest = read_manifest(folder)
        _check_keys(manifest, settings)
        stores = [store for store in stores_of(settings) if store.file_name in manifest.files]
        status = _restore(manifest, folder, stores, overwrite=overwrite)
    except StoreError as error:
        print(f"provider: {error.detail}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"provider: {error.filename or folder}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    if not status:
        print(f"done: the state of {manifest.made_at}")
    return status


def _check_keys(manifest: Manifest, settings: Settings) -> None:
    """Check the keys: the tokens, links and encrypted file lists of another key are of no use here."""
    address, chains = Account.from_hex(settings.security.universal_key).address, chain_addresses(settings)
    if manifest.address != address:
        raise StoreError(
            detail=f"the backup has the key of {manifest.address}, but the settings have that of {address}"
        )
    for chain_id, other in manifest.chain_addresses.items():
        ours = chains.get(chain_id, other)
        if ours != other:
            detail = f"chain {chain_id}: the backup has the key of {other}, but the settings have that of {ours}"
            raise StoreError(detail=detail)


def _restore(manifest: Manifest, folder: Path, stores: list[Store], *, overwrite: bool) -> int:
    """Copy and check all, then write each into its place. No server can start before the last one is written."""
    copies = {store.name: store.path.with_name(f"{store.path.name}.restoring") for store in stores}
    is_new = {store.name: not store.path.exists() for store in stores}
    for store in stores:
        if not overwrite and not is_new[store.name]:
            raise StoreError(detail=f"{store.path}: exists already; --overwrite replaces it")
    try:
        with ExitStack() as locks:
            targets = {store.name: locks.enter_context(locked(store.path)) for store in stores}
            for store in stores:
                remove_copy(copies[store.name])
                copy_checked(folder / store.file_name, copies[store.name], manifest.files[store.file_name])
                store.check(copies[store.name])
            for store in stores:
                if store.name == NONCES and not is_new[store.name]:
                    continue
                _write(copies[store.name], targets[store.name], store)
        # Nonces are added to those that are there by the store itself, beside whoever uses it.
        if not is_new.get(NONCES, True):
            target = next(str(store.path) for store in stores if store.name == NONCES)
            return import_nonces(str(copies[NONCES]), target=target, settings=None, dry_run=False)
    finally:
        for store in stores:
            remove_copy(copies[store.name])
            if is_new[store.name] and store.path.exists() and not store.path.stat().st_size:
                # Made for the lock only.
                store.path.unlink()
    return 0


def _write(copy: Path, target: sqlite3.Connection, store: Store) -> None:
    """Replace all that `target` holds, in one transaction of SQLite. Raises StoreError."""
    try:
        with closing(sqlite3.connect(copy)) as source:
            source.backup(target)
    except sqlite3.Error as error:
        raise StoreError(detail=explain(store.path, error)) from None
    print(f"{store.name}: {store.path}")
