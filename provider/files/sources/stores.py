"""The kinds of named sources: a folder of this host, a bucket, and URLs of one host."""

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

from provider.files.file_fields import Fields
from provider.files.file_object import S3File
from provider.files.s3_origin import S3Origin
from provider.files.sources.config import SourceConfig
from provider.files.sources.credentials import Credentials
from provider.files.sources.secret_file import SecretFile
from provider.override import override
from provider.upstream.charges import charge_request
from provider.upstream.folder import Folder
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.request_head import Redirect
from provider.upstream.resume import Rest
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import Wish

# The origin refuses the credentials.
_REFUSED = frozenset((401, 403))


class Store(Protocol):
    """Where the files of one source lie.

    `address`: the address of its files without credentials; None for a folder of this host.
    """

    address: str | None

    async def open(self, steps: Sequence[str], wish: Wish, rest: Rest | None) -> Source:
        """Open the file at `steps`: names of folders and of the file, without `.`, `..`, `/` and empty ones.

        `rest` replaces the range after an earlier answer broke off. Raises UpstreamError.
        """

    async def close(self) -> None:
        """Give up connections and threads."""


class FolderStore(Store):
    """A folder of this host."""

    address = None

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @override
    async def open(self, steps: Sequence[str], wish: Wish, rest: Rest | None) -> Source:
        charge_request()
        if rest is not None:
            wish = Wish(rest.range_header, rest.validator)
        return await self._folder.open(steps, wish)

    @override
    async def close(self) -> None:
        self._folder.close()


class S3Store(Store):
    """A bucket, or a folder in it."""

    def __init__(self, config: SourceConfig, *, origin: S3Origin) -> None:
        self._config, self._origin = config, origin
        self._bucket, self._prefix = config.bucket or ("", "")
        self.address: str | None = f"{config.endpoint or config.region} {self._bucket}/{self._prefix}"
        self._secrets = {
            kind: SecretFile(path, name=config.name)
            for kind, path in (
                ("access_key_id", config.access_key_id_file),
                ("secret_access_key", config.secret_access_key_file),
                ("session_token", config.session_token_file),
            )
            if path is not None
        }

    @override
    async def open(self, steps: Sequence[str], wish: Wish, rest: Rest | None) -> Source:
        fields = wish.fields if rest is None else rest.fields
        answer = await self._origin.open(self._file(steps), fields)
        if answer.status in _REFUSED and self._look():
            answer.release()
            answer = await self._origin.open(self._file(steps), fields)
        return answer

    @override
    async def close(self) -> None:
        pass

    def _look(self) -> bool:
        """Read all files again, so that no new key meets an old secret. True if something changed."""
        changed = [secret.look() for secret in self._secrets.values()]
        return any(changed)

    def _file(self, steps: Sequence[str]) -> S3File:
        config = self._config
        return S3File(
            endpoint=config.endpoint or f"https://s3.{config.region}.amazonaws.com",
            bucket=self._bucket,
            key="/".join([self._prefix, *steps] if self._prefix else steps),
            region=config.region,
            path_style=config.path_style,
            requester_pays=config.requester_pays,
            party=f"source {config.name}",
            **{kind: secret.text() for kind, secret in self._secrets.items()},
        )


class HttpStore(Store):
    """Files beneath one URL. `own` connects to its host; `guarded` follows redirects."""

    def __init__(self, config: SourceConfig, *, credentials: Credentials, own: HttpOrigin, guarded: HttpOrigin) -> None:
        self._base, self._headers = (config.url or "").rstrip("/"), config.headers
        self.address: str | None = self._base
        self._party, self._credentials = f"source {config.name}", credentials
        self._own, self._guarded = own, guarded

    @override
    async def open(self, steps: Sequence[str], wish: Wish, rest: Rest | None) -> Source:
        url = "/".join([self._base, *(quote(step, safe="") for step in steps)])
        fields = wish.fields if rest is None else rest.fields
        answer = await self._ask(url, fields)
        if answer.status in _REFUSED and self._credentials.refused():
            answer.release()
            answer = await self._ask(url, fields)
        return answer

    @override
    async def close(self) -> None:
        await self._credentials.close()

    async def _ask(self, url: str, fields: Fields) -> HttpSource:
        headers = (*self._headers, *await self._credentials.fields(), *fields)
        answer = await self._own.open_hop(HttpRequest("GET", url, headers, party=self._party))
        return await self._guarded.open(answer) if isinstance(answer, Redirect) else answer
