"""Builds the origins of files: one for hosts that strangers name, and others for hosts that the operator named."""

import ssl
from dataclasses import dataclass, replace

from provider.chain.networks import Networks
from provider.files.origins import FileOrigins
from provider.files.sources.config import SourcesConfig
from provider.files.sources.sources import AnswerableFor, Sources, build_sources
from provider.outgoing.sessions import Outgoing
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.names import Names

# The rest of the limit is for TCP and TLS. So a slow name server gives another error than a host that does not connect.
_NAMES_PART_OF_CONNECTING = 0.8


@dataclass(frozen=True, slots=True)
class Origins:
    """`http` opens any URL behind the address guard. `gateways` and `of_sources` open what the operator configured.

    `files` opens files of every kind.
    """

    http: HttpOrigin
    gateways: HttpOrigin
    of_sources: HttpOrigin
    ftp: FtpOrigin
    files: FileOrigins
    sources: Sources
    disk: Disk

    def close(self) -> None:
        """Close the idle connections, and the threads that read files."""
        self.http.close()
        self.gateways.close()
        self.of_sources.close()
        self.disk.close()


def build_origins(
    upstream: UpstreamConfig,
    sources: SourcesConfig,
    *,
    networks: Networks,
    answerable_for: AnswerableFor,
    outgoing: Outgoing,
) -> Origins:
    """Build the origins, without connecting to anything. `answerable_for` as for `Sources`."""
    names = Names(
        servers=upstream.dns_servers, timeout_seconds=upstream.connect_timeout_seconds * _NAMES_PART_OF_CONNECTING
    )
    # Building one takes about 26 ms.
    tls_context = ssl.create_default_context()
    http = HttpOrigin(upstream, tls_context=tls_context, resolver=names)
    # The operator named these hosts, so they may be private. After a failure the next gateway is asked at once.
    trusting = replace(upstream, allow_non_public_ip=True)
    gateways = HttpOrigin(trusting, patient=False, tls_context=tls_context, resolver=outgoing.names)
    of_sources = HttpOrigin(trusting, tls_context=tls_context, resolver=outgoing.names)
    ftp = FtpOrigin(upstream, tls_context=tls_context, resolver=names)
    disk = Disk()
    named = build_sources(
        sources.all,
        upstream,
        answerable_for=answerable_for,
        disk=disk,
        own=of_sources,
        guarded=http,
        outgoing=outgoing,
    )
    files = FileOrigins(
        http=http,
        ipfs=Gateways(upstream.ipfs_gateways, own=gateways, guarded=http),
        arweave=Gateways(upstream.arweave_gateways, own=gateways, guarded=http),
        ftp=ftp,
        networks=networks,
        sources=named,
    )
    return Origins(http, gateways, of_sources, ftp, files, named, disk)
