"""`provider explain`: says why an order is accepted or refused, step by step, as the server would decide."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from provider.app.foundation import open_foundation
from provider.commands.check.table import EXIT_FAILED, Finding, Form, plain, show
from provider.commands.explain.steps import Question, explained
from provider.config import Settings
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import ProviderError
from provider.errors.start import StartError
from provider.observability.metrics import Metrics
from provider.quotas.quota import Count
from provider.quotas.redis_store import RedisQuotaStore
from provider.quotas.sqlite_store import counts_path, stored_counts
from provider.redis.client import RedisClient

__all__ = ["Options", "explain"]

EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of the command, as given. `service_id`: None for the only one."""

    did: str
    service_id: str | None
    order_tx_id: str
    consumer: str
    file_index: int
    form: Form


def explain(options: Options, settings: Settings) -> int:
    """Print each step of a download. Returns 0 if it would be served, 1 if not, 2 for a wrong argument."""
    if not is_address(options.consumer):
        print("provider: --consumer is not an address", file=sys.stderr)
        return EXIT_USAGE
    if options.file_index < 0:
        print("provider: --file-index counts from 0", file=sys.stderr)
        return EXIT_USAGE
    question = Question(
        options.did,
        options.service_id,
        options.order_tx_id,
        to_checksum_address(options.consumer),
        str(options.file_index),
    )
    try:
        findings = asyncio.run(_explained(question, settings))
    except StartError as error:
        print(f"provider: {plain(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    except ProviderError as error:
        print(f"provider: {plain(error.detail or error.public_text)}", file=sys.stderr)
        return EXIT_FAILED
    return show(findings, form=options.form, verdicts=("would be served", "would be refused"))


async def _explained(question: Question, settings: Settings) -> list[Finding]:
    async with AsyncExitStack() as held:
        base = await open_foundation(settings, Metrics(is_on=False), held)
        return await explained(
            question,
            base.purchases,
            base.origins.files,
            limits=settings.quotas.limits if settings.quotas.is_on else None,
            counts=partial(_read_counts, settings),
        )


async def _read_counts(settings: Settings, names: Sequence[str]) -> Sequence[Count]:
    """The counts of a server with these settings, which may be running. Raises StoreError."""
    redis = settings.redis
    if redis is None:
        return stored_counts(counts_path(settings.storage_path), names)
    client = RedisClient(redis.target, timeout_seconds=redis.timeout_seconds, logs_outages=False)
    try:
        return await RedisQuotaStore(client, prefix=redis.prefix).counts(names)
    finally:
        await client.close()
