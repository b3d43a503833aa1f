"""Header fields that open an HTTP source: fixed ones, basic and bearer authentication, and OAuth 2 tokens."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote_plus

from provider.errors import ServiceUnavailable, UpstreamUnreachable
from provider.files.file_fields import Fields
from provider.files.sources.config import SourceConfig
from provider.files.sources.secret_file import SecretFile
from provider.outgoing.client import ServiceClient, ServiceReply
from provider.outgoing.sessions import Outgoing
from provider.override import override

_TOKEN_SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 * 1024
# RFC 6749 section 5.1 only recommends that an answer says it.
_DEFAULT_LIFETIME_SECONDS = 300.0
# A token is renewed this long before its end, or after half of its lifetime.
_RENEW_BEFORE_SECONDS = 60.0


class Credentials(Protocol):
    """What is sent with each request to one source."""

    async def fields(self) -> Fields:
        """The header fields. Raises UpstreamUnreachable."""

    def refused(self) -> bool:
        """Call this after an answer 401 or 403. True if the next `fields` may be others."""

    async def close(self) -> None:
        """Close connections."""


class FixedCredentials(Credentials):
    """`scheme` and what `value` makes of the secret in `file`; nothing without a file."""

    def __init__(self, file: SecretFile | None = None, value: Callable[[str], str] = str) -> None:
        self._file, self._value = file, value

    @override
    async def fields(self) -> Fields:
        return () if self._file is None else (("Authorization", self._value(self._file.text())),)

    @override
    def refused(self) -> bool:
        return self._file is not None and self._file.look()

    @override
    async def close(self) -> None:
        pass


class ClientCredentials(Credentials):
    """Tokens of OAuth 2 (RFC 6749 section 4.4). One request for a token at a time, whoever waits for it."""

    def __init__(
        self,
        client: ServiceClient,
        *,
        client_id: str,
        secret: SecretFile,
        scope: str | None,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client`: of the token endpoint. `name`: of the source, for the log."""
        self._client, self._client_id, self._secret, self._scope = client, client_id, secret, scope
        self._name, self._clock = name, clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    @override
    async def fields(self) -> Fields:
        async with self._asking:
            if not self._token or self._clock() >= self._renew_at:
                await self._renew()
            return (("Authorization", f"Bearer {self._token}"),)

    @override
    def refused(self) -> bool:
        had_token, self._token = bool(self._token), ""
        return had_token

    @override
    async def close(self) -> None:
        await self._client.close()

    async def _renew(self) -> None:
        form = {"grant_type": "client_credentials"} | ({} if self._scope is None else {"scope": self._scope})
        headers = {"Authorization": _basic(quote_plus(self._client_id), quote_plus(self._secret.text()))}
        try:
            reply = await self._client.call("POST", form=form, headers=headers)
            if reply.status in (400, 401) and self._secret.look():
                headers = {"Authorization": _basic(quote_plus(self._client_id), quote_plus(self._secret.text()))}
                reply = await self._client.call("POST", form=form, headers=headers)
        except ServiceUnavailable as exc:
            raise UpstreamUnreachable(detail=exc.detail) from exc
        self._take(reply)

    def _take(self, reply: ServiceReply) -> None:
        """Take the token out of an answer (RFC 6749 section 5.1)."""
        content = reply.json()
        found = content if isinstance(content, dict) and reply.status == 200 else {}
        token, kind, lifetime = found.get("access_token"), found.get("token_type"), found.get("expires_in")
        if not isinstance(token, str) or not _is_sendable(token) or str(kind).lower() != "bearer":
            raise UpstreamUnreachable(detail=f"source {self._name}: no token, status {reply.status}")
        seconds = _DEFAULT_LIFETIME_SECONDS
        if isinstance(lifetime, int | float) and lifetime > 0:
            seconds = float(lifetime)
        self._token = token
        self._renew_at = self._clock() + max(seconds - _RENEW_BEFORE_SECONDS, seconds / 2)


def credentials_of(config: SourceConfig, *, outgoing: Outgoing) -> Credentials:
    """The credentials that the settings of an HTTP source name."""
    name = config.name

    def secret(path: str | None) -> SecretFile:
        assert path is not None  # noqa: S101 - the settings were checked
        return SecretFile(path, name=name)

    if config.user is not None:
        user = config.user
        return FixedCredentials(secret(config.password_file), lambda password: _basic(user, password))
    if config.bearer_token_file is not None:
        return FixedCredentials(secret(config.bearer_token_file), lambda token: f"Bearer {token}")
    if config.token_url is None:
        return FixedCredentials()
    client = ServiceClient(
        config.token_url,
        name=f"token endpoint of source {name}",
        timeout_seconds=_TOKEN_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
        outgoing=outgoing,
    )
    return ClientCredentials(
        client,
        client_id=config.client_id or "",
        secret=secret(config.client_secret_file),
        scope=config.scope,
        name=name,
    )


def _basic(user: str, password: str) -> str:
    """RFC 7617."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _is_sendable(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token and token != ""
