"""Downloads one file over its link: several ranges at once where the file has a strong validator, else one stream.

Workers take pieces from one queue and write them where they belong. A worker that fails puts the rest of its piece
back. While others move on, it may also leave: a server that allows fewer connections gets fewer.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from provider.commands.get.failures import (
    GetFailed,
    LinkEnded,
    NoRanges,
    OtherVersion,
    TryLater,
)
from provider.commands.get.links import LinkedFile, Links, Reply, ask
from provider.commands.get.part_file import PartFile, check_absent
from provider.commands.get.plan import (
    Facts,
    Span,
    Verdict,
    facts_of,
    judge,
    judge_part,
    missing,
    pieces,
    retry_after_seconds,
)
from provider.commands.get.retries import Pause, Retries, patiently, wait

MAX_VERSIONS = 4
"""Versions begun in one run: after that the file changes faster than it can be downloaded."""
MAX_RENEWALS = 3
"""Fresh links in a row that bring no byte."""
_LEAVES_AFTER = 3  # failures in a row, while other workers go on
_MAX_ERROR_BYTES = 64 << 10
_HASH_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]
"""Takes the bytes that are there, and the length if it is known."""
AnotherLink = Callable[[], Awaitable[LinkedFile]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file under its final name.

    Attributes:
        resumed_bytes: bytes of an earlier run.
        checked: what was compared: `length`, `validator`, `sha256`.
    """

    path: Path
    size_bytes: int
    resumed_bytes: int
    etag: str | None
    checked: tuple[str, ...]


@dataclass(slots=True)
class _Job:
    part: PartFile
    facts: Facts
    waiting: deque[Span] = field(default_factory=deque)
    working: int = 0


class FileFetch:
    """Downloads one file into `target`. `source` names it across runs.

    Args:
        another: requests a new link with a signature, if the old one cannot be renewed.
        force: replace an existing file.
    """

    def __init__(
        self,
        links: Links,
        file: LinkedFile,
        target: Path,
        *,
        source: str,
        another: AnotherLink,
        connections: int,
        force: bool = False,
        progress: Progress = lambda _, __: None,
        pause: Pause = wait,
    ) -> None:
        self._links = links
        self._session = links.session
        self._file = file
        self._target = target
        self._source = source
        self._another = another
        self._connections = connections
        self._force = force
        self._progress = progress
        self._pause = pause
        self._renewing = asyncio.Lock()
        self._renewals = 0
        self._refusal = ""
        self._resumed_bytes = 0

    async def run(self) -> Fetched:
        """Download the file, check it, and give it its final name.

        Raises GetFailed; bytes that another run can continue with stay on disk.
        """
        if not self._force:
            check_absent(self._target)
        with PartFile(self._target, self._source) as part:
            try:
                facts = await self._one_version(part)
                return await self._finished(part, facts)
            except OSError as error:
                raise GetFailed(f"{self._target} cannot be written: {error.strerror}") from None

    async def _one_version(self, part: PartFile) -> Facts:
        """Fetch until all bytes are of one version. Returns its facts."""
        facts: Facts | None = self._file.facts
        for _ in range(MAX_VERSIONS):
            if facts is None or facts.length is None or facts.etag is None:
                facts = await self._ask_facts(facts or Facts())
            try:
                if facts.can_resume:
                    await self._in_pieces(part, facts)
                    return facts
                return await self._in_one(part, facts)
            except OtherVersion as other:
                facts = other.facts
            except NoRanges:
                facts = replace(facts, has_ranges=False)
        raise GetFailed("the file changes while it is downloaded, or the server contradicts itself about its length")

    async def _ask_facts(self, known: Facts) -> Facts:
        """Return the facts from a HEAD; if the server does not answer it, those already known."""

        async def head() -> Reply:
            url = self._file.url
            reply = await ask(self._session, "HEAD", url)
            if judge(reply.status) is Verdict.ENDED:
                await self._renew(LinkEnded(reply.reason(), url))
                raise TryLater("the link was renewed", 0)
            return reply

        reply = await patiently(head, self._pause)
        return facts_of(reply.headers) if reply.status == 200 else known

    # Several ranges at once.

    async def _in_pieces(self, part: PartFile, facts: Facts) -> None:
        self._resumed_bytes = part.begin(facts)
        self._progress(part.done_bytes, facts.length)
        job = _Job(part, facts, deque(pieces(missing(part.done, 0, facts.length or 0), self._connections)))
        await _together([self._work(job) for _ in range(min(self._connections, len(job.waiting)))])

    async def _work(self, job: _Job) -> None:
        retries = Retries(self._pause)
        job.working += 1
        try:
            while job.waiting:
                piece = job.waiting.popleft()
                try:
                    await self._piece(job, piece, retries)
                except TryLater as cause:
                    job.waiting.extendleft(reversed(missing(job.part.done, *piece)))
                    if retries.failed >= _LEAVES_AFTER and job.working > 1:
                        return
                    await retries.wait(cause)
                except LinkEnded as ended:
                    job.waiting.extendleft(reversed(missing(job.part.done, *piece)))
                    await self._renew(ended)
        finally:
            job.working -= 1

    async def _piece(self, job: _Job, piece: Span, retries: Retries) -> None:
        first, end = piece
        # If-Range: if the version is another one, the server sends the whole file with 200 (RFC 9110 section 13.1.5).
        headers = {"Range": f"bytes={first}-{end - 1}", "If-Range": job.facts.etag or ""}
        async with self._get(headers) as response:
            verdict = judge_part(response.status, response.headers, piece, job.facts)
            if verdict is Verdict.CHANGED:
                raise OtherVersion(facts_of(response.headers) if response.status == 200 else None)
            if verdict is Verdict.WHOLE:
                raise NoRanges
            at = first
            async for data in response.content.iter_any():
                at = self._taken(job.part, at, data[: end - at], job.facts.length, retries)
                if at == end:
                    break
                await job.part.save_if_due()
        if at < end:
            raise TryLater("the answer ended early")

    # One stream.

    async def _in_one(self, part: PartFile, expected: Facts) -> Facts:
        retries = Retries(self._pause)
        while True:
            try:
                return await self._stream(part, expected)
            except TryLater as cause:
                await retries.wait(cause)
            except LinkEnded as ended:
                await self._renew(ended)

    async def _stream(self, part: PartFile, expected: Facts) -> Facts:
        async with self._get({}) as response:
            if response.status != 200:
                raise GetFailed(f"the server answers with status {response.status} to a request for the whole file")
            facts = facts_of(response.headers)
            if expected.length is not None and facts.length not in (None, expected.length):
                raise OtherVersion(facts if facts.can_resume else None)
            facts = Facts(facts.length if facts.length is not None else expected.length, facts.etag)
            part.begin(facts)
            at = 0
            async for data in response.content.iter_any():
                at = self._taken(part, at, data, facts.length, None)
                if facts.length is not None and at > facts.length:
                    raise OtherVersion
        if facts.length is not None and at < facts.length:
            raise TryLater(f"only {at} of {facts.length} bytes arrived")
        return facts

    # Both.

    @asynccontextmanager
    async def _get(self, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a GET. Raises our own exceptions for failed connections, and for statuses that end the request."""
        url = self._file.url
        try:
            # The URL is a capability. A redirect could carry it to another host, or over plain HTTP.
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in (200, 206, 412, 416):
                    raise await _refusal(response, url)
                yield response
        except aiohttp.ClientSSLError:
            raise GetFailed("the server's certificate is not trusted, or TLS failed") from None
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise TryLater(f"the connection was lost ({type(error).__name__})") from None

    def _taken(self, part: PartFile, at: int, data: bytes, length: int | None, retries: Retries | None) -> int:
        """Write the bytes that arrived. Returns the position after them."""
        part.write(at, data)
        if retries is not None:
            retries.progress()
            self._renewals = 0
        self._progress(part.done_bytes, length)
        return at + len(data)

    async def _renew(self, ended: LinkEnded) -> None:
        """Get a valid link by renewal or with a new signature. Raises GetFailed if neither works."""
        async with self._renewing:
            if self._file.url != ended.url:
                return  # another worker was faster
            self._renewals += 1
            if self._renewals > MAX_RENEWALS:
                raise GetFailed(f"the server refuses: {self._refusal or ended}")
            try:
                self._file = await self._links.renew(self._file)
            except LinkEnded as refused:
                self._refusal = str(refused)
                self._file = await self._another()

    async def _finished(self, part: PartFile, facts: Facts) -> Fetched:
        if facts.length not in (None, part.done_bytes):
            raise GetFailed(f"only {part.done_bytes} of {facts.length} bytes are there")
        checked = ["length"] if facts.length is not None else []
        # For one stream, the validator only says whether the manifest described this version.
        is_validated = facts.can_resume or facts.etag == self._file.facts.etag
        checked += ["validator"] if facts.etag is not None and is_validated else []
        if self._file.sha256 is not None:
            digest = await asyncio.to_thread(_sha256, part.digest_source())
            if digest != self._file.sha256:
                part.discard()
                raise GetFailed(f"the bytes have sha256 {digest}, not {self._file.sha256}; they were removed")
            checked.append("sha256")
        size = part.done_bytes
        part.finish(force=self._force)
        return Fetched(self._target, size, self._resumed_bytes, facts.etag, tuple(checked))


async def _refusal(response: aiohttp.ClientResponse, url: str) -> Exception:
    body = await response.content.read(_MAX_ERROR_BYTES)
    reason = Reply(response.status, response.headers, body).reason()
    verdict = judge(response.status)
    if verdict is Verdict.LATER:
        return TryLater(reason, retry_after_seconds(response.headers))
    if verdict is Verdict.ENDED:
        return LinkEnded(reason, url)
    return GetFailed(f"the server refuses: {reason}")


async def _together(workers: Sequence[Coroutine[None, None, None]]) -> None:
    """Run all tasks. The first failure stops the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _sha256(descriptor: int) -> str:
    digest, at = hashlib.sha256(), 0
    while data := os.pread(descriptor, _HASH_BYTES, at):
        digest.update(data)
        at += len(data)
    return digest.hexdigest()
