"""The origins of files, built from settings: one door per kind, one TLS context for all."""

import ssl
from dataclasses import dataclass, replace

from provider.chain.networks import Networks
from provider.config import Settings
from provider.files.origins import FileOrigins
from provider.outgoing.sessions import Outgoing
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.gateways import Gateways
from provider.upstream.http_source import HttpOrigin
from provider.upstream.names import Names

# The rest of the limit is for TCP and TLS; a name that takes longer is told apart from a host that does not connect.
_NAMES_PART_OF_CONNECTING = 0.8


@dataclass(frozen=True, slots=True)
class Origins:
    """`http` opens any URL behind the address guard; `gateways` only what the operator configured; `files` is all."""

    http: HttpOrigin
    gateways: HttpOrigin
    ftp: FtpOrigin
    files: FileOrigins

    def close(self) -> None:
        """Close the idle connections."""
        self.http.close()
        self.gateways.close()


def build_origins(settings: Settings, networks: Networks, outgoing: Outgoing) -> Origins:
    """Nothing is connected to here."""
    upstream = settings.upstream
    names = Names(
        servers=upstream.dns_servers, timeout_seconds=upstream.connect_timeout_seconds * _NAMES_PART_OF_CONNECTING
    )
    # Building one takes about 26 ms.
    tls_context = ssl.create_default_context()
    http = HttpOrigin(upstream, tls_context=tls_context, resolver=names)
    # The operator named these hosts, so they may be private. The next one is asked at once instead of waiting.
    trusting = replace(upstream, allow_non_public_ip=True)
    gateways = HttpOrigin(trusting, patient=False, tls_context=tls_context, resolver=outgoing.names)
    ftp = FtpOrigin(upstream, tls_context=tls_context, resolver=names)
    files = FileOrigins(
        http=http,
        ipfs=Gateways(upstream.ipfs_gateways, own=gateways, guarded=http),
        arweave=Gateways(upstream.arweave_gateways, own=gateways, guarded=http),
        ftp=ftp,
        networks=networks,
    )
    return Origins(http, gateways, ftp, files)
