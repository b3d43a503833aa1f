"""The text that refuses a nonce: that of Provider 2.1 (`provider-api.md` section 4), and what to do about it."""


def nonce_refusal(stored: object, given: object) -> str:
    """Return the text for a nonce `given` while `stored` is the greatest one."""
    return (
        f"Invalid signature expected nonce ({stored}) > current nonce ({given}). "
        "This link has already been used; sign again with a higher nonce."
    )
