"""Named sources for tests of other kinds of files."""

from provider.files.file_object import Seller
from provider.files.sources.sources import Sources


async def _nobody(_: Seller) -> frozenset[str]:
    return frozenset()


NO_SOURCES = Sources({}, answerable_for=_nobody)
