"""The origins of files, built from settings: one door per kind, one TLS context for all."""

import ssl
from dataclasses import dataclass

from provider.chain.networks import Networks
from provider.config import Settings
from provider.files.origins import FileOrigins
from provider.outgoing.sessions import Outgoing
from provider.upstream.addresses import Resolver
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
    http = _http(settings, tls_context, names, allow_private=upstream.allow_non_public_ip)
    # The next gateway is asked at once instead.
    gateways = _http(settings, tls_context, outgoing.names, allow_private=True, patient=False)
    ftp = FtpOrigin(
        allow_private=upstream.allow_non_public_ip,
        tls_context=tls_context,
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        first_byte_timeout_seconds=upstream.first_byte_timeout_seconds,
        idle_timeout_seconds=upstream.idle_timeout_seconds,
        attempts=upstream.attempts,
        resolver=names,
    )
    files = FileOrigins(
        http=http,
        ipfs=Gateways(upstream.ipfs_gateways, own=gateways, guarded=http),
        arweave=Gateways(upstream.arweave_gateways, own=gateways, guarded=http),
        ftp=ftp,
        networks=networks,
    )
    return Origins(http, gateways, ftp, files)


def _http(
    settings: Settings, tls_context: ssl.SSLContext, resolver: Resolver, *, allow_private: bool, patient: bool = True
) -> HttpOrigin:
    upstream = settings.upstream
    return HttpOrigin(
        allow_private=allow_private,
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        first_byte_timeout_seconds=upstream.first_byte_timeout_seconds,
        idle_timeout_seconds=upstream.idle_timeout_seconds,
        attempts=upstream.attempts,
        patient=patient,
        max_idle_connections=upstream.max_idle_connections,
        pool_quiet_seconds=upstream.quiet_seconds,
        tls_context=tls_context,
        resolver=resolver,
    )
