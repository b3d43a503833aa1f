"""An S3 object as a GET, signed with AWS Signature Version 4 (pure).

Streaming, the address guard and redirects are those of every other HTTP request. No signed header follows a redirect to
another host. The signature is described at docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from provider.errors import FileObjectInvalid
from provider.files.file_fields import Fields
from provider.files.file_object import S3File
from provider.upstream.source import HttpRequest
from provider.upstream.urls import parse_url

# A bucket that can be the first label of a host name that a wildcard certificate covers.
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])", re.ASCII)
_ALGORITHM = "AWS4-HMAC-SHA256"
# A GET has no body.
_EMPTY_SHA256 = hashlib.sha256().hexdigest()


def signed_get(file: S3File, asked: Fields = (), *, now: datetime) -> HttpRequest:
    """Return a GET of the object. It is signed if the file object has keys.

    Args:
        file: The object and the keys.
        asked: `Range` and conditions (`wish.Wish.fields`). The signature covers them.
        now: The time of the signature, with its zone. Stores accept a difference of 15 minutes.

    Raises:
        FileObjectInvalid: The endpoint is not a URL.
        UnsafeAddress: The endpoint is a URL that is never asked.
    """
    url = object_url(file)
    fields = dict(asked)
    if file.requester_pays:
        fields["x-amz-request-payer"] = "requester"
    if file.access_key_id:
        fields["X-Amz-Date"] = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        fields["X-Amz-Content-SHA256"] = _EMPTY_SHA256
        if file.session_token:
            fields["X-Amz-Security-Token"] = file.session_token
        fields["Authorization"] = _authorization(file, url, fields)
    return HttpRequest("GET", url, tuple(fields.items()), party=file.party)


def _authorization(file: S3File, url: str, fields: dict[str, str]) -> str:
    """The Authorization field of a GET without a query. `fields` holds everything else that is to be signed."""
    target = parse_url(url)
    signed = {name.lower(): " ".join(value.split()) for name, value in fields.items()} | {"host": target.host_field}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"GET\n{target.path}\n\n{lines}\n{names}\n{_EMPTY_SHA256}"
    date = fields["X-Amz-Date"]
    scope = f"{date[:8]}/{file.region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{file.secret_access_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    return f"{_ALGORITHM} Credential={file.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def object_url(file: S3File) -> str:
    """URL of the object: the bucket as first label of the host, or in the path where that is asked for or needed."""
    try:
        endpoint = urlsplit(file.endpoint)
        host, port = endpoint.hostname or "", endpoint.port
    except ValueError:
        raise FileObjectInvalid(detail="the endpoint is no URL") from None
    if not host or endpoint.username is not None:
        raise FileObjectInvalid(detail="the endpoint has no host, or has userinfo")
    # The signature is over the very octets of the path, so nothing is left for others to encode.
    path = endpoint.path.rstrip("/")
    if file.path_style or _is_address(host) or _HOST_LABEL.fullmatch(file.bucket) is None:
        path += "/" + quote(file.bucket, safe="")
    else:
        host = f"{file.bucket}.{host}"
    authority = f"[{host}]" if ":" in host else host
    if port is not None:
        authority += f":{port}"
    return f"{endpoint.scheme.lower()}://{authority}{path}/{quote(file.key, safe='/~')}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
