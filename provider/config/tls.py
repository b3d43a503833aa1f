"""The certificate and key of the public listener: both or none, tried as the server will use them."""

from provider.config.source import Source
from provider.crypto.certificate import TlsFault, TlsFiles, server_context

CERTIFICATE = ("PROVIDER_TLS_CERT_FILE", "server.tls_cert_file")
KEY = ("PROVIDER_TLS_KEY_FILE", "server.tls_key_file")


def read_tls(source: Source) -> TlsFiles | None:
    """The files, or None for plain HTTP. Faults are noted in `source`."""
    certificate, key = source.text(*CERTIFICATE), source.text(*KEY)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = (CERTIFICATE, KEY) if certificate is None else (KEY, CERTIFICATE)
        source.fault(*missing, f"must be set together with {given[0]}")
        return None
    source.warn_of_readers(KEY[0], key)
    files = TlsFiles(certificate, key)
    try:
        server_context(files)
    except TlsFault as fault:
        source.fault(*(CERTIFICATE if fault.part == "certificate" else KEY), str(fault))
    return files
