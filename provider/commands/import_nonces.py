"""`provider import-nonces`: imports the nonces of an SQLite file, of Provider 2.1 or of this one, into a store.

Each nonce is used up in the store as if a request had brought it. So existing nonces are never lowered, and a second
run changes nothing. Values in Provider 2.1's Redis are not read: they expire within minutes, and some are pickles.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_rows import held_from, spent_nonces_query
from provider.auth.nonce_rule import Held, imported, without_messages
from provider.auth.redis_store import RedisNonceStore
from provider.auth.sqlite_store import SqliteNonceStore
from provider.config import Settings
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, StoreError
from provider.redis.client import RedisClient
from provider.redis.config import RedisConfig

EXIT_DONE = 0
EXIT_FAILED = 1
# This many are imported at once; each group is one exchange with the store.
GROUP = 500
PROGRESS_SECONDS = 1.0

Store = SqliteNonceStore | RedisNonceStore
Row = TypeVar("Row")


@dataclass(slots=True)
class Found:
    """The content of a file: what it knows of each checksummed address, revocations by key, number of other rows."""

    nonces: dict[str, Held] = field(default_factory=dict)
    revocations: dict[str, int] = field(default_factory=dict)
    skipped: int = 0


class NotReadable(Exception):
    """The file holds no nonces. The text says why."""


def import_nonces(source: str, *, target: str | None, settings: Settings | None, dry_run: bool) -> int:
    """Run the command and return the exit status. Imports into the SQLite file `target`, or the store of `settings`."""
    try:
        found = read_nonces(Path(source))
    except NotReadable as error:
        print(f"provider: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(
        f"{source}: {len(found.nonces)} addresses with a nonce, {len(found.revocations)} revoked tokens, "
        f"{found.skipped} other rows"
    )
    return asyncio.run(_import(found, target, settings, dry_run))


def read_nonces(path: Path) -> Found:
    """Read everything worth keeping from a file, without changing it. Raises NotReadable.

    Tables: `user_nonce` of Provider 2.1 (`provider-api.md` section 4.3), keyed by address text as sent, so one address
    may have several rows; the greatest nonce counts. `spent_nonces` and `token_revocations` are ours.
    """
    if not path.is_file():
        raise NotReadable(f"{path}: no such file")
    found = Found()
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables & {"user_nonce", "spent_nonces"}:
                raise NotReadable(f"{path}: it has neither a table user_nonce nor a table spent_nonces")
            if "user_nonce" in tables:
                for address, nonce in connection.execute("SELECT address, nonce FROM user_nonce"):
                    _take(found, address, str(nonce), "")
            if "spent_nonces" in tables:
                for address, nonce, memory in connection.execute(spent_nonces_query(connection)):
                    _take(found, address, str(nonce), str(memory))
            if "token_revocations" in tables:
                for token, expires_at in connection.execute("SELECT token_id, expires_at FROM token_revocations"):
                    _take_revocation(found, token, expires_at)
    except sqlite3.Error as error:
        raise NotReadable(f"{path}: {error}") from error
    return found


def _take(found: Found, address: object, nonce: str, memory: str) -> None:
    if not isinstance(address, str) or not is_address(address) or parse_nonce(nonce) is None:
        found.skipped += 1
        return
    key = to_checksum_address(address)
    try:
        held = held_from(nonce, memory)
    except ValueError:
        raise NotReadable(f"the row of {key} in spent_nonces is damaged: remove it, or restore the file") from None
    if not memory:
        held = imported(nonce, now=time.time()) or held
    known = found.nonces.get(key)
    if known is None or is_greater(held.shown, known.shown):
        found.nonces[key] = without_messages(held)


def _take_revocation(found: Found, token: object, expires_at: object) -> None:
    if not isinstance(token, str) or type(expires_at) is not int:
        raise NotReadable(
            f"a row of token_revocations has {type(expires_at).__name__} in expires_at, not a whole number of unix "
            "seconds: correct it, since a revocation that is left out makes its token good again"
        )
    found.revocations[token] = expires_at


async def _import(found: Found, target: str | None, settings: Settings | None, dry_run: bool) -> int:
    redis = settings.redis if settings is not None and target is None else None
    path = target if target is not None else settings.storage_path if settings is not None else ""
    if dry_run and redis is None and not await asyncio.to_thread(Path(path).exists):
        # Opening the file would create it.
        print(f"dry run: {len(found.nonces)} nonces would be imported into {path}, which does not exist yet")
        return EXIT_DONE
    store: Store = SqliteNonceStore(path) if redis is None else _redis_store(redis)
    try:
        new = await _import_nonces(store, found.nonces, dry_run)
        revoked = 0 if dry_run else await _import_revocations(store, found.revocations)
    except StoreError as error:
        print(f"provider: {error.detail or error.public_text}", file=sys.stderr)
        print("provider: nothing is lost; run the same command again", file=sys.stderr)
        return EXIT_FAILED
    finally:
        await store.close()
    kept = len(found.nonces) - new
    if dry_run:
        print(f"dry run: {new} nonces would be imported; {kept} are already there, or greater ones")
    else:
        print(f"done: {new} nonces imported; {kept} were already there, or greater ones; {revoked} revocations")
    return EXIT_DONE


def _redis_store(redis: RedisConfig) -> RedisNonceStore:
    client = RedisClient(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, logs_outages=False
    )
    return RedisNonceStore(client, prefix=redis.prefix)


async def _import_nonces(store: Store, nonces: dict[str, Held], dry_run: bool) -> int:
    """Import all nonces and return how many were new."""
    new, done, told_at = 0, 0, time.monotonic()
    for group in _groups(list(nonces.items())):
        answers = await asyncio.gather(*(_take_over(store, address, held, dry_run) for address, held in group))
        new += sum(answers)
        done += len(group)
        if time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            print(f"{done} of {len(nonces)}", file=sys.stderr)
    return new


async def _take_over(store: Store, address: str, held: Held, dry_run: bool) -> bool:
    """True if anything was new. A placeholder only counts together with the large nonce beside it."""
    if dry_run:
        stored = await store.last(address)
        return stored is None or bool(is_greater(held.shown, stored))
    is_new = bool(held.large) and await _use(store, address, held.large)
    if held.nonce and (is_new or "p" not in held.marks or not held.large):
        is_new = await _use(store, address, held.nonce) or is_new
    return is_new


async def _use(store: Store, address: str, nonce: str) -> bool:
    try:
        await store.use(address, nonce, unknown_past=True)
    except NonceRefused:
        return False
    return True


async def _import_revocations(store: Store, revocations: dict[str, int]) -> int:
    for group in _groups(list(revocations.items())):
        await asyncio.gather(*(store.take_over_revocation(key, expires_at) for key, expires_at in group))
    return len(revocations)


def _groups(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), GROUP):
        yield rows[start : start + GROUP]
