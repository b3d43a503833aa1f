"""S3 objects: a file object in, a signed GET out (AWS Signature Version 4), and the region that a store names (pure).

Streaming, address guard and redirects work as for any HTTP request. Nothing signed follows a redirect to another host.
A request is signed for a region. If a bucket is in another region, the store answers 301, 307 or 400 and names that
region in `x-amz-bucket-region`, in the error's `Region`, or in the host that it redirects to.

The signature: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

import hashlib
import hmac
import re
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from provider.errors import FileObjectInvalid
from provider.files.file_fields import Fields
from provider.files.file_object import S3File
from provider.upstream.source import Headers, HttpRequest
from provider.upstream.urls import parse_url

# A bucket name that may be the first label of a host name under a wildcard certificate.
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])", re.ASCII)
_ALGORITHM = "AWS4-HMAC-SHA256"
# A GET has no body.
_EMPTY_SHA256 = hashlib.sha256().hexdigest()
# Longer than any error document of a store.
MAX_ERROR_BYTES = 16 * 1024
_ELSEWHERE = frozenset((301, 307, 400))
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_IN_ERROR = re.compile(rb"<Region>([a-z0-9-]{1,64})</Region>")
# Amazon's hosts in any style: `s3.amazonaws.com`, `b.s3.eu-west-1.amazonaws.com`, `s3-eu-west-1.amazonaws.com`.
_AMAZON = re.compile(r"((?:.+\.)?s3(?:\.dualstack)?)(?:[.-]([a-z0-9-]+))?(\.amazonaws\.com(?:\.cn)?)")


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
    """URL of the object. The bucket is the first label of the host, or in the path if that is configured or needed."""
    try:
        endpoint = urlsplit(file.endpoint)
        host, port = endpoint.hostname or "", endpoint.port
    except ValueError:
        raise FileObjectInvalid(detail="the endpoint is no URL") from None
    if not host or endpoint.username is not None:
        raise FileObjectInvalid(detail="the endpoint has no host, or has userinfo")
    # The signature covers the exact octets of the path, so nothing may be left for others to encode.
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


def region_told(status: int, headers: Headers, *, error: bytes = b"", location: str = "") -> str | None:
    """The region that an answer names; None if it names none or is about something else."""
    if status not in _ELSEWHERE:
        return None
    named = headers.get("x-amz-bucket-region")
    if named is None:
        found, host = _IN_ERROR.search(error), _AMAZON.fullmatch(urlsplit(location).hostname or "")
        named = found[1].decode("ascii") if found is not None else host[2] if host is not None else None
    return named if named is not None and _REGION.fullmatch(named) else None


def in_region(file: S3File, region: str) -> S3File | None:
    """The same object in `region`; None if it was requested there already.

    Only the region's label in the endpoint changes, so the request stays in the store's own domain.
    """
    parts = urlsplit(file.endpoint)
    host = parts.hostname or ""
    amazon = _AMAZON.fullmatch(host)
    if amazon is not None:
        moved_host = f"{amazon[1]}.{region}{amazon[3]}"
    else:
        moved_host = ".".join(region if label == file.region else label for label in host.split("."))
    endpoint = file.endpoint if moved_host == host else parts._replace(netloc=_netloc(moved_host, parts.port)).geturl()
    moved = replace(file, endpoint=endpoint, region=region)
    return moved if moved != file else None


def _netloc(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"
