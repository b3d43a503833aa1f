"""Judges an answer of a file's origin for a publisher: what works, what does not, and what to do about it (pure)."""

from provider.commands.check.table import Finding, failed, passed, warned
from provider.errors import (
    FileObjectInvalid,
    GatewayUnset,
    NameUnanswered,
    ProviderError,
    SourceRefused,
    UnsafeAddress,
    UpstreamBusy,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from provider.upstream.answer import Answer, Part, Parts, Refused, Whole
from provider.upstream.file_names import guess_content_type
from provider.upstream.source import Headers
from provider.upstream.validators import is_strong_date, is_strong_tag

# Consumers notice a longer wait.
_SLOW_SECONDS = 1.0

_FAILURES: tuple[tuple[type[ProviderError], str, str], ...] = (
    (
        UnsafeAddress,
        "the host does not resolve, or its address is private",
        "use a public host; an operator may allow private ones with ALLOW_NON_PUBLIC_IP, or name the host as a source",
    ),
    (NameUnanswered, "no name server answers for the host", "check the host's name and its name servers"),
    (UpstreamTimedOut, "no answer in time", "use a faster host; an operator may raise the limits of [upstream]"),
    (UpstreamBusy, "the host asks to come back later", "raise the limits of the host"),
    (UpstreamUnreachable, "no connection", "check host, port, firewall and certificate"),
    (SourceRefused, "the settings name no such source", "add [sources.NAME], or correct the file object"),
    (GatewayUnset, "no gateway is configured", "set IPFS_GATEWAY or ARWEAVE_GATEWAY"),
    (FileObjectInvalid, "the file object is not valid", "correct it as docs/files.md says"),
)


def failure(error: ProviderError) -> Finding:
    """The finding of a file that cannot be opened."""
    what, advice = next(
        ((what, advice) for kind, what, advice in _FAILURES if isinstance(error, kind)),
        (error.public_text, error.remedy),
    )
    return failed("answer", f"{what} ({error.detail})" if error.detail else what, advice)


def judge_status(status: int, answer: Answer) -> Finding:
    """Check whether there is a file at all."""
    if isinstance(answer, Whole | Part | Parts):
        return passed("answer", f"status {status}")
    detail = answer.detail if isinstance(answer, Refused) else f"status {status}"
    if status in (401, 403):
        return failed("answer", detail, "send credentials: `headers` of the file object, or a named source")
    if status in (404, 410):
        return failed("answer", detail, "correct the path: the host has no such file")
    return failed("answer", detail, "the host must answer 200 to a plain GET")


def judge_time(seconds: float) -> Finding:
    """Check how long a consumer waits."""
    text = f"first byte after {seconds * 1000:.0f} ms"
    return passed("time", text) if seconds <= _SLOW_SECONDS else warned("time", text, "use a host that answers sooner")


def judge_transport(url: str) -> Finding:
    """Check whether others on the way can read or change the file."""
    if url.lower().startswith("https:"):
        return passed("transport", "TLS, and its certificate is valid")
    return warned("transport", "not encrypted: others on the way may read and change the file", "use https")


def judge_redirects(hosts: tuple[str, ...]) -> Finding:
    """Report redirects. `hosts`: those of the redirects, in order."""
    if not hosts:
        return passed("redirects", "none")
    return warned("redirects", f"{len(hosts)}, to {', '.join(hosts)}", "name the last URL, if it does not expire")


def judge_length(length_bytes: int | None) -> Finding:
    """Check whether a consumer can tell a whole file from a cut one, and can request parts."""
    if length_bytes is None:
        advice = "let the host send Content-Length: without it there is no progress bar and no resume"
        return warned("length", "not stated", advice)
    if not length_bytes:
        return warned("length", "the file is empty", "check the file")
    return passed("length", f"{length_bytes} bytes")


def judge_type(headers: Headers, name: str) -> Finding:
    """Check the media type. `name`: of the file, from which the type is guessed."""
    stated = headers.get("Content-Type")
    if stated is not None:
        return passed("type", stated)
    guessed = guess_content_type(name)
    if guessed is not None:
        return passed("type", f"not stated; {guessed}, from the name")
    return warned(
        "type", "not stated, and the name has no known extension", "let the host send Content-Type, or rename the file"
    )


def judge_coding(headers: Headers) -> list[Finding]:
    """Report a content coding in which the file is stored."""
    coding = headers.get("Content-Encoding")
    if coding is None:
        return []
    return [warned("coding", f"stored as {coding}: length and ranges are those of the coded bytes", "store it uncoded")]


def judge_validator(headers: Headers) -> Finding:
    """Check whether a cut transfer can be continued."""
    tag, modified = headers.get("ETag"), headers.get("Last-Modified")
    advice = "let the host send a strong ETag: without one, nobody can continue a lost transfer"
    if tag is not None and is_strong_tag(tag):
        return passed("validator", "a strong ETag")
    if tag is not None:
        return warned("validator", "a weak ETag", advice)
    if is_strong_date(modified, headers):
        return passed("validator", "Last-Modified, which is old enough")
    if modified is not None:
        return warned("validator", "only Last-Modified, which counts from a minute after the last change on", advice)
    return warned("validator", "none", advice)


def judge_ranges(status: int, answer: Answer) -> Finding:
    """Check the answer to a request for the first byte."""
    if isinstance(answer, Part):
        return passed("ranges", "answered")
    detail = answer.detail if isinstance(answer, Refused) else f"status {status} to a request for one byte"
    return warned("ranges", detail, "use a host that answers Range: readers of columns and players need it")
