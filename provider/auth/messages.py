"""The messages that a client may have signed, per endpoint (pure; `provider-api.md` section 4.2).

There are two families. The old one joins the values of the request and ends with the nonce. The new one is
`address + nonce + command`, so a message is valid for one route only. ocean.js 8 and ocean-node use it
(`ocean-node-compat.md` section 3.1). A new message always ends with a letter and an old one with its nonce, so no text
belongs to both families.

Within the old family, one text may fit several endpoints and may be split into fields and nonce in several ways [K46].
`signed_text.py` prevents a second use.

Values are joined exactly as received: numbers as their text, absent values as "". An address is tried as sent, in
EIP-55 form (as wallets write it) and in lower case. Each function returns all acceptable messages. If a route has both
families, the two likeliest come first: the new one in EIP-55 form, then the old one as sent.
"""

from collections.abc import Callable

from provider.crypto.keccak import to_checksum_address

DOWNLOAD = "download"
DECRYPT = "decryptDDO"
COMPUTE_START = "startCompute"
COMPUTE_STOP = "stopCompute"
COMPUTE_STATUS = "getComputeStatus"
COMPUTE_RESULT = "getComputeResult"
CREATE_TOKEN = "createAuthToken"  # noqa: S105 - a command
INVALIDATE_TOKEN = "invalidateAuthToken"  # noqa: S105 - a command
CREATE_LINKS = "createLinks"
REVOKE_LINKS = "revokeLinks"
VALIDATE_DDO = "validateDDO"
BEGIN_POLICY_SESSION = "PolicyServerInitialize"


def node_id(address: str) -> str:
    """Return the node id that `GET /` and the status command show, made from the Provider's address.

    ocean.js 9 appends it to the message of createAuthToken. It ends with a letter, so that such a message cannot be
    mistaken for one of the old family, which ends with a nonce.
    """
    return f"{address}.provider"


def download(*, document_id: str, consumer: str, nonce: str) -> tuple[str, ...]:
    """GET download, signed by `consumerAddress`. The old form holds no address."""
    checksummed, *others = _spellings(consumer)
    return (
        f"{checksummed}{nonce}{DOWNLOAD}",
        f"{document_id}{nonce}",
        *(f"{address}{nonce}{DOWNLOAD}" for address in others),
    )


def decrypt(
    *, transaction_id: str | None, data_nft: str, decrypter: str, chain_id: str | int, nonce: str
) -> tuple[str, ...]:
    """POST decrypt, signed by `decrypterAddress`. The old form holds the transaction if named, else the data NFT."""
    named = transaction_id or data_nft
    return _both(decrypter, nonce, DECRYPT, lambda address: f"{named}{address}{chain_id}{nonce}")


def start_compute(*, consumer: str, job_id: str | None, dataset_did: str, nonce: str) -> tuple[str, ...]:
    """POST compute, signed by `consumerAddress`. `job_id` is normally absent."""
    return _both(consumer, nonce, COMPUTE_START, lambda address: f"{address}{job_id or ''}{dataset_did}{nonce}")


def stop_compute(*, consumer: str, job_id: str | None, document_id: str | None, nonce: str) -> tuple[str, ...]:
    """PUT compute, signed by `consumerAddress`."""
    return _both(consumer, nonce, COMPUTE_STOP, lambda address: f"{address}{job_id or ''}{document_id or ''}{nonce}")


def delete_compute(*, consumer: str, job_id: str | None, document_id: str | None, nonce: str) -> tuple[str, ...]:
    """DELETE compute, signed by `consumerAddress`. Only the old form: ocean-node has no such command."""
    return _old(consumer, lambda address: f"{address}{job_id or ''}{document_id or ''}{nonce}")


def compute_status(*, consumer: str, nonce: str) -> tuple[str, ...]:
    """GET compute. The signature is optional: ocean.js 9 signs if it wants metrics. Only the new form."""
    return _new(consumer, nonce, COMPUTE_STATUS)


def compute_result(*, consumer: str, job_id: str, index: str | int, nonce: str) -> tuple[str, ...]:
    """GET computeResult, signed by `consumerAddress`."""
    return _both(consumer, nonce, COMPUTE_RESULT, lambda address: f"{address}{job_id}{index}{nonce}")


def create_token(*, address: str, nonce: str, node: str) -> tuple[str, ...]:
    """POST auth/token, signed by `address`. `node`: our `node_id`, which ocean.js 9 appends.

    The old `address + nonce` is not accepted: a message signed for another purpose could then create a token.
    """
    return (*_new(address, nonce, CREATE_TOKEN), *_new(address, nonce, f"{CREATE_TOKEN}{node}"))


def create_auth_token(*, address: str, nonce: str, node: str) -> tuple[str, ...]:
    """GET createAuthToken, signed by `address`. The old form signs neither the expiration nor the purpose."""
    return _merged(create_token(address=address, nonce=nonce, node=node), _old(address, lambda text: f"{text}{nonce}"))


def invalidate_token(*, address: str, nonce: str) -> tuple[str, ...]:
    """DELETE deleteAuthToken and POST auth/token/invalidate, signed by `address`. The message does not hold the token.

    ocean.js 8 leaves out the command on the new route too.
    """
    return _both(address, nonce, INVALIDATE_TOKEN, lambda text: f"{text}{nonce}")


def create_links(*, consumer: str, nonce: str) -> tuple[str, ...]:
    """POST links, signed by `consumerAddress`. Only the new form, so that no other signature can create a link."""
    return _new(consumer, nonce, CREATE_LINKS)


def revoke_links(*, consumer: str, nonce: str) -> tuple[str, ...]:
    """DELETE links, signed by `consumerAddress`. Only the new form."""
    return _new(consumer, nonce, REVOKE_LINKS)


def validate_ddo(*, publisher: str, nonce: str) -> tuple[str, ...]:
    """POST ddo/validate, signed by `publisherAddress`. Only the new form: Provider 2.1 had no such route."""
    return _new(publisher, nonce, VALIDATE_DDO)


def begin_policy_session(*, consumer: str, nonce: str) -> tuple[str, ...]:
    """POST initializePSVerification, signed by `consumerAddress` as ocean-node 4 demands. Only the new form."""
    return _new(consumer, nonce, BEGIN_POLICY_SESSION)


def _spellings(address: str) -> tuple[str, ...]:
    """Return the address in EIP-55 form, as sent and in lower case, without duplicates."""
    return tuple(dict.fromkeys((to_checksum_address(address), address, address.lower())))


def _new(address: str, nonce: str, command: str) -> tuple[str, ...]:
    return tuple(f"{spelling}{nonce}{command}" for spelling in _spellings(address))


def _old(address: str, text: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(text(spelling) for spelling in dict.fromkeys((address, *_spellings(address))))


def _both(address: str, nonce: str, command: str, old: Callable[[str], str]) -> tuple[str, ...]:
    return _merged(_new(address, nonce, command), _old(address, old))


def _merged(new: tuple[str, ...], old: tuple[str, ...]) -> tuple[str, ...]:
    return (new[0], old[0], *new[1:], *old[1:])
