"""An S3 object as a signed GET (AWS Signature Version 4), signed by botocore.

Imported when an S3 file is first asked for: botocore takes 28 MiB and a fifth of a second. Streaming, the address
guard and redirects are those of every other HTTP request; nothing signed follows a redirect to another host.
"""

import re
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from provider.errors import FileObjectInvalid
from provider.files.file_fields import Fields
from provider.files.file_object import S3File
from provider.upstream.source import HttpRequest

# A bucket that can be the first label of a host name that a wildcard certificate covers.
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])", re.ASCII)
# What botocore may add to a request and has to reach the store.
_SIGNED = ("X-Amz-Date", "X-Amz-Content-SHA256", "X-Amz-Security-Token", "Authorization")


def signed_get(file: S3File, asked: Fields = ()) -> HttpRequest:
    """GET of the object, signed for now where there are keys. Raises FileObjectInvalid when the endpoint is no URL.

    `asked`: `Range` and conditions (`wish.Wish.fields`); the signature covers them.
    """
    fields = dict(asked)
    url = object_url(file)
    if file.requester_pays:
        fields["x-amz-request-payer"] = "requester"
    if file.access_key_id:
        request = AWSRequest("GET", url, headers=fields)
        credentials = Credentials(file.access_key_id, file.secret_access_key, file.session_token or None)
        S3SigV4Auth(credentials, "s3", file.region).add_auth(request)
        fields |= {name: request.headers[name] for name in _SIGNED if name in request.headers}
    return HttpRequest("GET", url, tuple(fields.items()), party=file.party)


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
