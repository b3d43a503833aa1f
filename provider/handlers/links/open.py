"""`/d/{token}/{name}`: sends the file of a link to any tool."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import unquote

from provider.auth import messages
from provider.books.record import Use, claimed, of_result
from provider.compute.results import JobResult
from provider.errors import LinkedFileChanged, LinkUnknown, PreconditionRefused, RouteNotFound, named_network
from provider.files.file_object import FileObject
from provider.handlers.compute.result import ResultEndpoint
from provider.handlers.downloads.download import FileDeps, FileEndpoint
from provider.handlers.downloads.purchase import Claim, Purchase
from provider.handlers.links.files import KnownFiles, base_url, if_known, reply_manifest
from provider.links.facts import FileFacts, version_of
from provider.links.links import Links
from provider.links.manifest import LinkedFile, Manifest, link_url
from provider.links.reads import LinkReads
from provider.links.token import Link, OrderedFile, link_id
from provider.override import override
from provider.proofs.proof import Proof
from provider.streaming.headers import reply_headers, stated, validator_headers
from provider.upstream.answer import Answer, NotModified, Part, Parts, PreconditionFailed, Whole, judge
from provider.upstream.source import Headers, Source
from provider.upstream.wish import Wish, read_wish

OpenSource = TypeVar("OpenSource", bound=Source)

PREFIX = "/d/"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDeps(FileDeps):
    """The parts, in the order in which they are used. `reads`: None if no proofs of download are sent.

    `public_url`: where consumers reach this server; None if not configured.
    """

    links: Links
    known: KnownFiles
    reads: LinkReads | None
    public_url: str | None


class LinkEndpoint(FileEndpoint[LinkDeps], ResultEndpoint[LinkDeps]):
    """Opens a link. Each request checks the consumer's right to the file, from cached facts if they are known."""

    endpoint = "link"
    _version = ""
    """Of the file, when the link was made."""
    _has_changed = False

    @override
    def set_default_headers(self) -> None:
        """As in the base class; the URL is a capability and must not reach other sites."""
        super().set_default_headers()
        self.set_header("Referrer-Policy", "no-referrer")

    @override
    def count(self, status: int, seconds: float) -> None:
        """As in the base class, and by method and outcome."""
        super().count(status, seconds)
        outcome = self.outcome(status)
        method = self.request.method or ""
        self._frame.metrics.links.requests.add(method, "ok" if outcome == "complete" else outcome)

    @override
    async def handle(self) -> None:
        token, slash, name = self.request.path.removeprefix(PREFIX).partition("/")
        if not slash:
            raise LinkUnknown
        self.enter("link")
        known_as = self.facts["link"] = link_id(token)
        link = await self.deps.links.open(token, unquote(name))
        self._version = link.version
        if isinstance(link.target, OrderedFile):
            self.use = claimed(
                link.consumer,
                did=link.target.did,
                service_id=link.target.service_id,
                order_tx_id=link.target.order_tx_id,
                file_index=link.target.file_index,
                link=known_as,
            )
            await self._ordered(link, link.target, unquote(name), self.use)
        else:
            self.use = of_result(link.consumer, link.target.job_id, link=known_as)
            await self._job_result(link, link.target, unquote(name))

    async def _ordered(self, link: Link, target: OrderedFile, name: str, use: Use) -> None:
        claim = Claim(target.did, target.service_id, target.order_tx_id, target.userdata, target.policy_data or None)
        purchase = await self.deps.purchases.check(claim, link.consumer, enter=self.enter, again=True)
        self.facts["chain_id"] = purchase.network.chain_id
        use.buy(purchase.network.chain_id, purchase.order.tx_id)
        with named_network(purchase.network.name):
            file = self.deps.purchases.file(purchase, str(target.file_index))
            use.file_index = target.file_index

            def facts() -> Awaitable[FileFacts]:
                return self.deps.known.of_file(purchase, file, target.file_index)

            if self.request.method == "HEAD":
                await self._describe(await facts(), name)
            elif self.request.method == "POST":
                about = ("documentId", target.did)
                renewed = await self.deps.links.renew(link, ends_at=purchase.ends_at)
                await self._renew(renewed, name, about, target.file_index, await if_known(facts()))
            else:
                try:
                    await self._send(link, purchase, file, target.file_index, name)
                finally:
                    if self._has_changed:
                        self.deps.known.forget_file(purchase, target.file_index)

    async def _send(self, link: Link, purchase: Purchase, file: FileObject, index: int, name: str) -> None:
        """Stream the file. The bytes count for the link's proof of download."""
        reads, read_bytes = self.deps.reads, 0
        known_as = str(self.facts["link"])
        if reads is not None:
            reads.begin(known_as, _proof(link, purchase))
        try:
            relayed = await self.send(purchase, file, index, link.consumer, name=name)
            read_bytes = 0 if relayed is None else relayed.bytes_sent
        finally:
            if reads is not None:
                reads.end(known_as, read_bytes)

    async def _job_result(self, link: Link, result: JobResult, name: str) -> None:
        results = self.deps.known.results
        if results is None:
            raise RouteNotFound
        if self.request.method == "HEAD":
            await self._describe(await self.deps.known.of_result(result, signature=link.signature), name)
        elif self.request.method == "POST":
            facts = await if_known(self.deps.known.of_result(result, signature=link.signature))
            renewed = await self.deps.links.renew(link, ends_at=None)
            await self._renew(renewed, name, ("jobId", result.job_id), 0, facts)
        else:
            try:
                await self.send_result(results, result, link.consumer, signature=link.signature, name=name)
            finally:
                if self._has_changed:
                    self.deps.known.forget_result(result)

    @override
    async def opened(
        self, ask: Callable[[Wish], Awaitable[OpenSource]], asked: Wish, file_type: str
    ) -> tuple[OpenSource, Answer]:
        """As in the base class, for the version that was linked; lets private caches keep what they can revalidate.

        Raises LinkedFileChanged.
        """
        source, answer = await super().opened(ask, asked, file_type)
        if isinstance(answer, Whole | Part | Parts):
            self._has_changed = bool(self._version) and version_of(source.headers) != self._version
            if self._has_changed and _joins_blindly(asked):
                source.close()
                raise LinkedFileChanged
        self._allow_revalidation(source.headers)
        return source, answer

    def _allow_revalidation(self, headers: Headers) -> None:
        if stated(headers, "ETag") or stated(headers, "Last-Modified"):
            self.set_header("Cache-Control", "private, no-cache")

    async def _describe(self, facts: FileFacts, name: str) -> None:
        """Reply to HEAD as GET would, without asking the origin. Raises PreconditionRefused.

        A range changes nothing: it is defined for GET only (RFC 9110 section 14.2).
        """
        answer = judge(read_wish(self.request.headers).whole(), 200, facts.headers, facts.length_bytes)
        self._allow_revalidation(facts.headers)
        if isinstance(answer, PreconditionFailed):
            raise PreconditionRefused
        if isinstance(answer, NotModified):
            self.set_status(answer.status)
            fields = validator_headers(facts.headers)
        else:
            fields = reply_headers(facts.headers, Whole(facts.length_bytes), name=name)
        for field, value in fields:
            self.set_header(field, value)
        if facts.length_bytes is None:
            # Without this, Tornado would count the bytes of the empty body.
            await self.flush()

    async def _renew(self, link: Link, name: str, about: tuple[str, str], index: int, facts: FileFacts | None) -> None:
        """Reply with the manifest of the renewed link."""
        link = replace(link, version="" if facts is None else facts.version)
        url = link_url(base_url(self, self.deps.public_url), self.deps.links.seal(link, name), name)
        self._frame.metrics.links.changed.add("renewed")
        self.set_header("Cache-Control", "no-store")
        reply_manifest(self, Manifest(about, link.expires_at, [LinkedFile(index, name, url, facts)]))


def _joins_blindly(asked: Wish) -> bool:
    """True for a part without a condition on its version. Tools join such parts even if their versions differ."""
    return (
        asked.ranges is not None
        and not asked.of_file_object
        and asked.if_range is None
        and (asked.preconditions is None or not asked.preconditions.may_fail)
    )


def _proof(link: Link, purchase: Purchase) -> Proof:
    """Return what a proof of download attests for this link, without the byte count."""
    target = link.target
    return Proof(
        chain_id=purchase.network.chain_id,
        datatoken=purchase.service.datatoken,
        document_id=purchase.asset.did,
        service_id=purchase.service.id,
        file_index=target.file_index if isinstance(target, OrderedFile) else 0,
        downloaded_bytes=0,
        order_tx_id=purchase.order.tx_id,
        consumer=link.consumer,
        messages=messages.create_links(consumer=link.consumer, nonce=link.nonce),
        consumer_signature=link.signature,
    )
