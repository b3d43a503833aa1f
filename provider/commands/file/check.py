"""`provider file check OBJECT.json`: opens a file as a download would, and reports what works and what does not."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from provider.app.origins import Origins
from provider.commands.check.reach import host_of
from provider.commands.check.table import Finding, has_failed, show
from provider.commands.file import judge
from provider.commands.own_origins import own_origins, own_seller
from provider.config import FileSettings
from provider.errors import FileError, ProviderError, UpstreamError
from provider.files.file_object import FileObject, SmartContractFile, SourceFile, UrlFile, parse_file_object
from provider.files.resolve import asked_of, resolve
from provider.files.userdata import NO_USERDATA
from provider.upstream.answer import Answer, Part, Whole, answer_of
from provider.upstream.file_names import name_in_path
from provider.upstream.request_head import Redirect
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish
from provider.wire.json import read_json

EXIT_USAGE = 2
_MAX_REDIRECTS = 20


def check_file(path: str, settings: FileSettings) -> int:
    """Report what a download of the file object in `path` ("-": standard input) would meet.

    Returns 0 if a download would work, 1 if it would fail, and 2 if there is no such file object.
    """
    try:
        text = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        file = parse_file_object(read_json(text))
    except (OSError, ValueError) as error:
        print(f"provider: cannot read a file object: {type(error).__name__}", file=sys.stderr)
        return EXIT_USAGE
    except FileError as error:
        print(f"provider: {error.public_text}", file=sys.stderr)
        return EXIT_USAGE
    if isinstance(file, SmartContractFile):
        print(
            "provider: contracts are read through a node, not by this command: ask fileinfo of a running server",
            file=sys.stderr,
        )
        return EXIT_USAGE
    return show(asyncio.run(examined(file, settings)), verdicts=("can be downloaded", "cannot be downloaded"))


async def examined(file: FileObject, settings: FileSettings) -> list[Finding]:
    """Return the findings about a download of `file`."""
    if isinstance(file, SourceFile):
        file = replace(file, seller=own_seller(settings.sources, file.source))
    async with own_origins(settings.upstream, settings.sources) as origins:
        return await _findings(file, origins)


async def _findings(file: FileObject, origins: Origins) -> list[Finding]:
    began = time.perf_counter()
    try:
        source, answer = await _opened(file, origins, NO_WISH)
    except ProviderError as error:
        return [judge.failure(error)]
    seconds = time.perf_counter() - began
    findings = [judge.judge_status(source.status, answer)]
    source.close()
    if has_failed(findings):
        return findings
    findings.append(judge.judge_time(seconds))
    if isinstance(file, UrlFile):
        findings += [judge.judge_transport(file.url), judge.judge_redirects(await _redirects(file, origins))]
    findings += [
        judge.judge_length(answer.length_bytes if isinstance(answer, Whole | Part) else None),
        judge.judge_type(source.headers, name_in_path(source.final_url_path)),
        *judge.judge_coding(source.headers),
        judge.judge_validator(source.headers),
    ]
    try:
        part, of_part = await _opened(file, origins, Wish("bytes=0-0"))
    except ProviderError as error:
        return [*findings, judge.failure(error)]
    part.close()
    return [*findings, judge.judge_ranges(part.status, of_part)]


async def _opened(file: FileObject, origins: Origins, wish: Wish) -> tuple[Source, Answer]:
    asked = asked_of(file, wish)
    source = await origins.files.open(file, NO_USERDATA, asked)
    return source, answer_of(asked, source)


async def _redirects(file: UrlFile, origins: Origins) -> tuple[str, ...]:
    """Return the hosts that the file's own host redirects to, in order."""
    request = resolve(file, file.userdata or {}, NO_WISH)
    hosts: list[str] = []
    try:
        while len(hosts) < _MAX_REDIRECTS:
            answer = await origins.http.open_hop(request)
            if not isinstance(answer, Redirect):
                answer.close()
                break
            request = answer.request
            hosts.append(host_of(request.url))
    except UpstreamError:
        pass
    return tuple(hosts)
