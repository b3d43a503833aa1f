"""TLS of the public listener: two PEM files in, a server context out. Newer files are loaded while it serves.

Nothing here listens or waits. A `TlsFault` says which file is wrong and reveals nothing of the key.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

Part = Literal["certificate", "key"]
Marks = tuple[tuple[int, int, int], ...]


class TlsFault(Exception):
    """Certificate and key cannot be used. `part`: the file at fault."""

    def __init__(self, part: Part, what: str) -> None:
        super().__init__(what)
        self.part = part


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate followed by its chain, and its private key, unencrypted."""

    certificate: str
    key: str


class ServerTls:
    """The TLS side of a listener: one `context` for its whole life, with a replaceable certificate.

    Create it before workers are forked. They then share the key of the session tickets, so that a client can resume its
    session with any worker.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsFault."""
        self._files = files
        self._marks = _marks(files)
        self._newest = self.context = server_context(files)
        self.expires_at = _expiry(files)
        """Unix seconds until which the certificate of new connections is valid; None if unknown."""
        self.context.sni_callback = self._choose

    def renew(self, *, force: bool = False) -> bool:
        """Load the files for new connections if they changed since the last check, or if `force`. True if loaded.

        Raises TlsFault, once for each change. The previous certificate then stays in use.
        """
        marks = _marks(self._files)
        if marks == self._marks and not force:
            return False
        self._marks = marks
        self._newest = server_context(self._files)
        self.expires_at = _expiry(self._files)
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Choose the context. OpenSSL calls this in every handshake before it needs a certificate, even without a name.

        Loading new files into the first context would leave it without a key if they do not match, and with two
        certificates if the kind of key changed. A new listener context would invalidate the session tickets.
        """
        if self._newest is not self.context:
            connection.context = self._newest


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Create a context for HTTP/1.1 over TLS 1.2 or 1.3 (RFC 9325 section 3.1.1). Raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Python 3.12 and later: OpenSSL asks the kernel to do TLS in each handshake, and otherwise does it itself.
    context.options |= getattr(ssl, "OP_ENABLE_KTLS", 0)
    context.set_alpn_protocols(["http/1.1"])
    certificate = _readable("certificate", files.certificate)
    _readable("key", files.key)
    try:
        # Load the certificate alone first: an error for the pair does not tell which file is not PEM.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as exc:
        raise TlsFault("certificate", f"{files.certificate} holds no PEM certificate") from exc
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    except _KeyIsEncrypted as exc:
        raise TlsFault("key", f"{files.key} is encrypted; the server cannot ask for its password") from exc
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise TlsFault("key", f"{files.key} is not the key of {files.certificate}") from exc
        if exc.reason and ("TOO_SMALL" in exc.reason or "TOO_WEAK" in exc.reason):
            raise TlsFault("certificate", f"{files.certificate} is too weak for TLS ({exc.reason})") from exc
        raise TlsFault("key", f"{files.key} holds no PEM private key") from exc
    except OSError as exc:
        raise TlsFault("certificate", f"the files disappeared: {exc.strerror}") from exc
    return context


def _expiry(files: TlsFiles) -> float | None:
    # Imported only where TLS is on: it takes 3 MB.
    from cryptography import x509  # noqa: PLC0415

    try:
        # The server's own certificate comes first, then its chain (RFC 8446 section 4.4.2).
        return x509.load_pem_x509_certificate(Path(files.certificate).read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


class _KeyIsEncrypted(Exception):
    pass


def _refuse_password() -> NoReturn:
    # Otherwise OpenSSL would ask for a password on the terminal.
    raise _KeyIsEncrypted


def _readable(part: Part, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise TlsFault(part, f"cannot read {path}: {exc.strerror}") from exc


def _marks(files: TlsFiles) -> Marks:
    """Values that change if a file is rewritten or replaced; zeros for a missing file."""
    marks = []
    for path in (files.certificate, files.key):
        try:
            status = os.stat(path)
        except OSError:
            marks.append((0, 0, 0))
        else:
            marks.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(marks)
