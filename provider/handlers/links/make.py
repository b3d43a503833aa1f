"""`POST links` makes plain URLs from a signed request, and `DELETE links` revokes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from provider.auth import messages
from provider.auth.identify import Identifier, Signed
from provider.auth.token import AuthToken
from provider.auth.tokens import Tokens
from provider.books.record import claimed, of_result
from provider.compute.results import JobResult
from provider.errors import FileListTooLong, FilesUndecryptable, named_network
from provider.files.file_list import MAX_FILES
from provider.handlers.base import Endpoint
from provider.handlers.downloads.many_files import each_file
from provider.handlers.downloads.purchase import Claim, Purchase, Purchases
from provider.handlers.downloads.streaming import file_name_of
from provider.handlers.identity.token_params import presented_token
from provider.handlers.links.files import KnownFiles, base_url, if_known, reply_manifest
from provider.handlers.links.params import LinksRequest, RevokeLinksRequest
from provider.links.facts import FileFacts
from provider.links.links import Links
from provider.links.manifest import LinkedFile, Manifest, distinct_names, link_url
from provider.links.token import Link, OrderedFile
from provider.override import override
from provider.upstream.charges import charged_to, first_request_paid
from provider.upstream.file_names import name_in_path


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that will be linked. `name`: the name under which it will be saved."""

    index: int
    name: str
    facts: FileFacts | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """The result of a request: the target of the first link, the end of the right to it (unix seconds), the files."""

    target: OrderedFile | JobResult
    ends_at: int | None
    files: Sequence[_Found]


@dataclass(frozen=True, slots=True)
class LinksDeps:
    """The parts in the order they are used.

    `public_url`: where consumers reach this server, if a setting says it. `proves`: proofs of download are sent.
    """

    identifier: Identifier
    tokens: Tokens
    purchases: Purchases
    known: KnownFiles
    links: Links
    public_url: str | None
    proves: bool


class MakeLinksEndpoint(Endpoint[LinksDeps]):
    """Checks what a download checks, then answers with a manifest: one URL for each file."""

    endpoint = "links"

    @override
    async def handle(self) -> None:
        arguments = self.arguments()
        request = LinksRequest.parse(arguments, presented_token(arguments, self.request.headers))
        consumer, token = await self._identify(request)
        self.use = (
            of_result(consumer, request.job_id)
            if request.job_id
            else claimed(
                consumer,
                did=request.did,
                service_id=request.service_id,
                order_tx_id=request.order_tx_id,
                file_index=request.file_index,
            )
        )
        # Only a proof of download and the operator service need this signature.
        keeps_signature = self.deps.proves or bool(request.job_id)
        made = await (self._result(request) if request.job_id else self._ordered(request, consumer))
        link = await self.deps.links.issue(
            made.target,
            consumer,
            seconds=request.seconds,
            ends_at=made.ends_at,
            token=token,
            nonce=request.signed.nonce if keeps_signature else "",
            signature=request.signed.signature if keeps_signature else "",
        )
        about = ("jobId", request.job_id) if request.job_id else ("documentId", request.did)
        base = base_url(self, self.deps.public_url)
        linked = [
            LinkedFile(file.index, file.name, self._link_url(base, link, file), file.facts) for file in made.files
        ]
        self._frame.metrics.links.changed.add("made", by=len(linked))
        reply_manifest(self, Manifest(about, link.expires_at, linked))

    async def _identify(self, request: LinksRequest) -> tuple[str, AuthToken | None]:
        """Return the consumer, and the AuthToken if one replaced the signature."""
        signed = request.signed
        self.enter("signature")
        consumer = await self.deps.identifier.identify(
            signed,
            messages.create_links(consumer=signed.claimed, nonce=signed.nonce),
            client=self.client,
            chain=self.deps.purchases.catalog.chain_of(request.did) if request.did else None,
            enter=self.enter,
        )
        if signed.signature or signed.token is None:
            return consumer, None
        return consumer, await self.deps.tokens.check(signed.token.text, consumer)

    async def _ordered(self, request: LinksRequest, consumer: str) -> _Opened:
        """Return the files of an order."""
        claim = Claim(
            request.did, request.service_id, request.order_tx_id, request.userdata, request.policy_data or None
        )
        purchase = await self.deps.purchases.check(claim, consumer, enter=self.enter)
        self.facts["chain_id"] = purchase.network.chain_id
        if self.use is not None:
            self.use.buy(purchase.network.chain_id, purchase.order.tx_id)
        with named_network(purchase.network.name), charged_to(self.ticket):
            files = await self._files(purchase, request.file_index)
        if self.use is not None:
            self.use.file_index = request.file_index
        target = OrderedFile(
            claim.did, claim.service_id, claim.order_tx_id, files[0].index, request.userdata, request.policy_data
        )
        return _Opened(target, purchase.ends_at, files)

    async def _files(self, purchase: Purchase, file_index: int | None) -> Sequence[_Found]:
        if file_index is None:
            indices: Sequence[int] = range(self.deps.purchases.count_files(purchase))
        else:
            indices = [file_index]
        if not indices:
            raise FilesUndecryptable
        if len(indices) > MAX_FILES:
            raise FileListTooLong
        files = [self.deps.purchases.file(purchase, str(index)) for index in indices]

        async def ask(place: int) -> FileFacts | None:
            with first_request_paid():
                return await if_known(self.deps.known.of_file(purchase, files[place], indices[place]))

        self.enter("upstream")
        facts = await each_file(len(files), ask, self.ticket)
        names = distinct_names(
            [_name(*each) for each in zip(indices, (file.url_path for file in files), facts, strict=True)]
        )
        return [_Found(*each) for each in zip(indices, names, facts, strict=True)]

    async def _result(self, request: LinksRequest) -> _Opened:
        """Return a result of a job. The operator service decides at each request whose job it is."""
        result = JobResult(request.job_id, request.result_index, request.signed.claimed)
        self.enter("upstream")
        facts = await if_known(self.deps.known.of_result(result, signature=request.signed.signature))
        return _Opened(result, None, [_Found(0, _name(0, None, facts), facts)])

    def _link_url(self, base: str, link: Link, file: _Found) -> str:
        if isinstance(link.target, OrderedFile):
            link = replace(link, target=replace(link.target, file_index=file.index))
        link = replace(link, version="" if file.facts is None else file.facts.version)
        return link_url(base, self.deps.links.seal(link, file.name), file.name)


def _name(index: int, url_path: str | None, facts: FileFacts | None) -> str:
    """Return the file's name in its URL: the origin's, else that of the configured URL, else one with its index."""
    if facts is not None:
        return file_name_of(facts.headers, url_path, fallback=f"file-{index}")
    return (url_path and name_in_path(url_path)) or f"file-{index}"


@dataclass(frozen=True, slots=True)
class RevokeLinksDeps:
    """The parts in the order they are used."""

    identifier: Identifier
    links: Links


class RevokeLinksEndpoint(Endpoint[RevokeLinksDeps]):
    """Revokes links. Only a signature can do that: a token that came with the request is ignored."""

    endpoint = "revokeLinks"

    @override
    async def handle(self) -> None:
        request = RevokeLinksRequest.parse(self.arguments())
        signed: Signed = request.signed
        consumer = await self.deps.identifier.identify(
            signed, messages.revoke_links(consumer=signed.claimed, nonce=signed.nonce), client=self.client
        )
        await self.deps.links.revoke(consumer, request.order_tx_id)
        self._frame.metrics.links.changed.add("revoked")
        self.reply_json({"success": "Links have been revoked."})
