"""Removes everything that looks like a secret from texts for the log (pure).

Our own records hold no secret by construction. Messages of libraries and texts of exceptions may.
"""

import re

REDACTED = "[redacted]"

_URL = r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>\\]*"
_JWT = r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*"
# Hex of the length of a signature or longer. 64 digits are also those of transaction ids, which our own records name.
_LONG_HEX = r"(?:0x)?[0-9a-fA-F]{65,}"
_OWN = re.compile(f"{_URL}|{_JWT}|{_LONG_HEX}")

_QUERY = r"\?[^\s\"'<>\\=]{1,256}=[^\s\"'<>\\]*"
_CREDENTIALS = r"(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/._~=-]{8,}"
_FOREIGN = re.compile(f"{_URL}|{_JWT}|(?:0x)?[0-9a-fA-F]{{64,}}|{_QUERY}|{_CREDENTIALS}")


def redact_own(text: str) -> str:
    """Redact our own text: URLs, tokens and signatures."""
    return _OWN.sub(REDACTED, text)


def redact_foreign(text: str) -> str:
    """Redact a text of others: URLs, tokens, credentials, query strings, and hex of 32 bytes or more."""
    return _FOREIGN.sub(REDACTED, text)
