"""Accounts that are contracts (ERC-1271), assembled by hand: one that really verifies, and some that misbehave."""

from eth_utils import to_checksum_address

from provider.testing.chain.wallet import Wallet

# PUSH4 4294967295 MLOAD: memory for which no gas is enough, so that all of it is burned at once.
GREEDY = bytes.fromhex("63ffffffff51")
# PUSH1 0 PUSH1 0 REVERT
REVERTING = bytes.fromhex("60006000fd")
# PUSH1 100 PUSH1 12 PUSH1 0 CODECOPY PUSH1 100 PUSH1 0 REVERT, then Error("rate limit")
REVERTING_WITH_RATE_LIMIT = bytes.fromhex(
    "6064600c60003960646000fd" + "08c379a0" + "20".zfill(64) + "0a".zfill(64)
) + b"rate limit".ljust(32, b"\0")
# Returns 3.7 MB of zeros: PUSH3 size PUSH1 0 RETURN
RETURNING_MEGABYTES = bytes.fromhex("6238750060 00f3".replace(" ", ""))
# Returns the 32 bytes 00..01, as contracts do whose isValidSignature answers a bool.
ANSWERS_TRUE = bytes.fromhex("600160005260206000f3")
# Returns the four magic bytes with nothing after them.
SHORT_MAGIC = bytes.fromhex("631626ba7e60e01b60005260046000f3")


def owned_by(owner: str) -> bytes:
    """Return the code of a wallet that accepts signatures `r || s || v` (27, 28) of `owner` as its own."""
    return bytes.fromhex(
        "600435600052"  # memory 00: the hash, the first argument
        "60a43560001a602052"  # memory 20: v, the first byte after r and s
        "606435604052"  # memory 40: r
        "608435606052"  # memory 60: s
        "60206080608060006001"  # 32 bytes to 80, from the 128 bytes at 00, precompile 1 (ecrecover)
        "5afa50"  # with all gas, result ignored
        "60805173" + owner[2:].lower() + "14"  # is what it recovered the owner?
        "631626ba7e60e01b02"  # then the magic value, else 0
        "60005260206000f3"
    )


def returning_address(address: str) -> bytes:
    """Return the code of a contract that answers every call with `address`."""
    # PUSH20 address, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN
    return bytes.fromhex("73" + address[2:].lower() + "60005260206000f3")


def deploy(wallet: Wallet, code: bytes) -> str:
    """Put `code` on chain and return its address."""
    # PUSH2 length, DUP1, PUSH1 offset, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    creation = b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("80600c6000396000f3") + code
    receipt = wallet.send({"data": creation})
    return to_checksum_address(str(receipt["contractAddress"]))
