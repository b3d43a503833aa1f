"""Describes where a service is and why it does not answer, without anything secret of its URL."""

import ssl
from urllib.parse import urlsplit

import aiohttp

_REASONS = {
    "ClientConnectorDNSError": "its name cannot be resolved",
    "ClientConnectorCertificateError": "its TLS certificate is not trusted",
    "ClientConnectorSSLError": "TLS failed",
    "ClientConnectorError": "no connection",
    "ServerDisconnectedError": "it closed the connection",
    "ClientOSError": "the connection was lost",
    "ConnectionResetError": "the connection was lost",
}


def host_of(url: str) -> str:
    """Return host and port of a URL. The rest may hold passwords and API keys."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def reason_of(name: str) -> str:
    """Describe an aiohttp exception by its name; other text stays as it is."""
    return _REASONS.get(name, name)


async def get(
    session: aiohttp.ClientSession, url: str, *, timeout_seconds: float, proxy: str | None = None
) -> tuple[int, str]:
    """Return status and content type of a GET, without following redirects. Raises Unreachable."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with session.get(url, timeout=timeout, allow_redirects=False, proxy=proxy) as response:
            return response.status, response.content_type
    except TimeoutError:
        raise Unreachable(f"no answer within {timeout_seconds:g} s") from None
    except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
        # Their texts contain the URL.
        raise Unreachable(reason_of(type(error).__name__)) from None


class Unreachable(Exception):
    """The service gave no answer. The text says why and holds no secret."""
