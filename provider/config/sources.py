"""The named sources, and whether their files with secrets can be read."""

from provider.config.reader import Reader
from provider.files.sources.config import SourcesConfig


def read_sources(reader: Reader) -> SourcesConfig:
    """Checked values. Faults are noted in `reader`."""
    sources = reader.read(SourcesConfig)
    for source in sources.all:
        for key, path in source.secret_files.items():
            reader.read_file(f"sources.{source.name}.{key}", path, of_secret=True)
    return sources
