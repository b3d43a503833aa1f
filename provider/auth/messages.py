"""The messages that a client may have signed, per endpoint (pure; `provider-api.md` section 4.2).

Values go in exactly as received: case of addresses kept, numbers as their text, absent parts empty. Each
function returns all acceptable messages, likeliest first. There are no separators on the wire, so one text may
fit several endpoints [K46]; the strictly rising nonce over all endpoints is what keeps it from being used twice.
"""


def download(*, document_id: str, nonce: str) -> tuple[str, ...]:
    """GET download, signed by `consumerAddress`."""
    return (f"{document_id}{nonce}",)


def decrypt(
    *, transaction_id: str | None, data_nft: str, decrypter: str, chain_id: str | int, nonce: str
) -> tuple[str, ...]:
    """POST decrypt, signed by `decrypterAddress`: over the transaction if one is named, else over the data NFT."""
    return (f"{transaction_id or data_nft}{decrypter}{chain_id}{nonce}",)


def start_compute(*, consumer: str, job_id: str | None, dataset_did: str, nonce: str) -> tuple[str, ...]:
    """POST compute, signed by `consumerAddress`. `job_id` is normally absent."""
    return (f"{consumer}{job_id or ''}{dataset_did}{nonce}",)


def change_compute(*, consumer: str, job_id: str | None, document_id: str | None, nonce: str) -> tuple[str, ...]:
    """PUT and DELETE compute, signed by `consumerAddress`."""
    return (f"{consumer}{job_id or ''}{document_id or ''}{nonce}",)


def compute_result(*, consumer: str, job_id: str, index: str | int, nonce: str) -> tuple[str, ...]:
    """GET computeResult, signed by `consumerAddress`."""
    return (f"{consumer}{job_id}{index}{nonce}",)


def auth_token(*, address: str, nonce: str) -> tuple[str, ...]:
    """GET createAuthToken and DELETE deleteAuthToken, signed by `address`; expiration and token are not signed."""
    return (f"{address}{nonce}",)
