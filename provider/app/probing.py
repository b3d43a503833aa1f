"""Builds what asks the origins of sold files, as `fileinfo` does: one request, of which the head is read."""

import asyncio
import time
from pathlib import Path

from provider.app.foundation import Foundation
from provider.assets.access import check_enabled, check_state
from provider.assets.consumer_parameters import check_parameters
from provider.books.books import Books
from provider.books.probes import MAX_FILES, SOLD_DAYS, Prober, SoldFile
from provider.books.reading import sold_files
from provider.books.record import COMPLETE
from provider.books.sql import DAY_SECONDS
from provider.config import Settings
from provider.errors import ProviderError
from provider.files.file_object import FileObject, GraphqlFile, UrlFile
from provider.files.userdata import NO_USERDATA
from provider.observability.metrics.backends import BooksMetrics

NOT_ASKED = "not_asked"
"""Not an error code: a file that was not asked for is neither good nor bad."""


def build_prober(settings: Settings, base: Foundation, books: Books, metrics: BooksMetrics) -> Prober | None:
    """The prober; None if probes are off."""
    config, purchases = settings.books, base.purchases
    if not config.probe_seconds or not config.ledger:
        return None
    path = Path(config.file(settings.storage_path))

    async def sold() -> list[SoldFile]:
        since = time.time() - SOLD_DAYS * DAY_SECONDS
        return await asyncio.to_thread(sold_files, path, since, MAX_FILES)

    async def ask(sold_file: SoldFile) -> str:
        try:
            asset, network = await purchases.catalog.find(sold_file.did)
            check_enabled(asset)
            check_state(await purchases.lookup.nft_state(network, asset.data_nft))
            service = asset.service(sold_file.service_id)
            # A file may need values that only a consumer has. Without them its origin refuses, and is not dead.
            check_parameters(service.consumer_parameters, None, field="userdata")
            file = purchases.files.file(network.account, asset, service, str(sold_file.file_index))
            if not _may_be_repeated(file):
                return NOT_ASKED
            info = await base.origins.files.inspect(file, NO_USERDATA, chain_id=network.chain_id)
        except ProviderError as error:
            return error.code
        return COMPLETE if info.failure is None else info.failure.code

    return Prober(sold=sold, ask=ask, health=books.health, metrics=metrics, period_seconds=config.probe_seconds)


def _may_be_repeated(file: FileObject) -> bool:
    """A POST may change something or cost something at its host (RFC 9110 section 9.2.2)."""
    return not isinstance(file, GraphqlFile) and not (isinstance(file, UrlFile) and file.method == "POST")
