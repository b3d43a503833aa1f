"""Opens the SQLite files of this host; one that cannot be opened ends the start."""

from collections.abc import Awaitable

from provider.auth.nonce_store import NonceStore
from provider.auth.sqlite_store import SqliteNonceStore
from provider.config import Settings
from provider.errors import StoreError
from provider.errors.start import StartError


async def open_nonce_store(settings: Settings) -> NonceStore:
    """That of this host alone. Raises StartError."""
    nonces = SqliteNonceStore(settings.storage_path)
    await ready(nonces.check())
    return nonces


async def ready(opening: Awaitable[object]) -> None:
    """A store that cannot be opened ends the start. Raises StartError."""
    try:
        await opening
    except StoreError as error:
        raise StartError(f"STORAGE_PATH: {error.detail or error.public_text}") from error
