"""`provider index export | import`: the metadata index as a file, for the next host."""

import sys
from pathlib import Path
from typing import Literal

from provider.assets.index_copy import export_index, import_index
from provider.assets.index_store import index_path
from provider.config import Settings
from provider.errors import StoreError

EXIT_DONE = 0
EXIT_FAILED = 1


def run_index(action: Literal["export", "import"], file: str, settings: Settings) -> int:
    """Run the command on the index of `settings`, and return the exit status."""
    path = index_path(settings.storage_path)
    try:
        chains = export_index(path, Path(file)) if action == "export" else import_index(Path(file), path)
    except StoreError as error:
        print(f"provider: {error.detail or error.public_text}", file=sys.stderr)
        return EXIT_FAILED
    for chain in chains:
        kept = "" if chain.is_taken else " (left: the index here is as far, or of another factory or first block)"
        print(f"chain {chain.chain_id}: {chain.data_nfts} data NFTs up to block {chain.last_block}{kept}")
    return EXIT_DONE
