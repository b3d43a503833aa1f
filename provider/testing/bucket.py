"""Who may read the bucket of the demo's origin: whoever signed the request with its key (AWS Signature Version 4).

The signature: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FIELD = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>[0-9]{8}/[^/]+/s3/aws4_request), *"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
_CLOCKS_DIFFER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key. In a file: id and secret with white space between."""

    key_id: str
    secret: str = field(repr=False)


def read_key(path: Path) -> Key:
    """The key in a file. It is read for every request, so that the owner can rotate it."""
    return Key(*path.read_text(encoding="utf-8").split())


def is_signed(key: Key, method: str, path: str, headers: Mapping[str, str], *, now: datetime) -> bool:
    """Tell whether a request without a query is signed with the key. Names of `headers` are in lower case."""
    given = _FIELD.fullmatch(headers.get("authorization", ""))
    if given is None or given["id"] != key.key_id:
        return False
    names, date = given["names"].split(";"), headers.get("x-amz-date", "")
    if not _is_fresh(date, now) or not given["scope"].startswith(date[:8]):
        return False
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    request = f"{method}\n{path}\n\n{lines}\n{given['names']}\n{headers.get('x-amz-content-sha256', '')}"
    text = f"AWS4-HMAC-SHA256\n{date}\n{given['scope']}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signing = f"AWS4{key.secret}".encode()
    for part in given["scope"].split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(signing, text.encode(), "sha256").hex(), given["signature"])


def _is_fresh(date: str, now: datetime) -> bool:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(now - signed_at) <= _CLOCKS_DIFFER
