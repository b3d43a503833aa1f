"""`provider file encrypt`: the encrypted file list of a service, as its DDO carries it."""

import json
import sys
from pathlib import Path

from provider.config import Settings
from provider.crypto.accounts import Account
from provider.crypto.ecies import encrypt
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import FileError
from provider.files.file_list import MAX_FILES
from provider.files.file_object import SourceFile, parse_file_object
from provider.wire.json import read_json

EXIT_USAGE = 2


class _WrongError(Exception):
    """A wrong argument. The text is for the publisher."""


def encrypt_files(path: str, *, data_nft: str, datatoken: str, chain_id: int | None, settings: Settings) -> int:
    """Print the encrypted list of the file objects in `path` ("-": standard input), in hex. Returns 2 if it is wrong.

    Args:
        path: a JSON list of file objects.
        data_nft, datatoken: addresses that the list is bound to (`provider-api.md` section 7).
        chain_id: of the asset; None if the settings name one chain only.
        settings: hold the key. Nothing is connected to.
    """
    try:
        plaintext = _plaintext(_read(path), data_nft, datatoken, settings)
        account = _account(settings, chain_id)
    except _WrongError as error:
        print(f"provider: {error}", file=sys.stderr)
        return EXIT_USAGE
    print("0x" + encrypt(account.public_key, plaintext).hex())
    return 0


def _read(path: str) -> list[object]:
    try:
        content = read_json(sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes())
    except OSError as error:
        raise _WrongError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise _WrongError(f"{path} is not JSON") from None
    if not isinstance(content, list) or not 0 < len(content) <= MAX_FILES:
        raise _WrongError(f"{path} must be a JSON list of 1 to {MAX_FILES} file objects")
    return content


def _plaintext(files: list[object], data_nft: str, datatoken: str, settings: Settings) -> bytes:
    for name, address in (("--nft", data_nft), ("--datatoken", datatoken)):
        if not is_address(address):
            raise _WrongError(f"{name} must be an address")
    sources = {source.name for source in settings.sources.all}
    for index, raw in enumerate(files):
        try:
            file = parse_file_object(raw)
        except FileError as error:
            raise _WrongError(f"file {index}: {error.public_text}") from None
        if isinstance(file, SourceFile) and file.source not in sources:
            raise _WrongError(f"file {index}: the settings name no such source")
    bound = {"nftAddress": to_checksum_address(data_nft), "datatokenAddress": to_checksum_address(datatoken)}
    return json.dumps({**bound, "files": files}).encode()


def _account(settings: Settings, chain_id: int | None) -> Account:
    chains = settings.chains
    if len(chains) > 1 and chain_id is None:
        raise _WrongError("the settings name several chains: give --chain")
    for chain in chains:
        if chain_id is None or chain.chain_id in (None, chain_id):
            return Account.from_hex(chain.private_key)
    raise _WrongError("the settings do not name this chain")
