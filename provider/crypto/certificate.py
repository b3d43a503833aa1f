"""TLS of the public listener: a server context out of two PEM files, and newer files taken while it serves.

Nothing here listens or waits. Faults are `TlsFault`s, which say which file is wrong and show nothing of the key.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

Part = Literal["certificate", "key"]
Marks = tuple[tuple[int, int, int], ...]


class TlsFault(Exception):
    """Certificate and key cannot be used. `part` is the file to look at."""

    def __init__(self, part: Part, what: str) -> None:
        super().__init__(what)
        self.part = part


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate followed by its chain, and its private key, not encrypted."""

    certificate: str
    key: str


class ServerTls:
    """The TLS side of a listener: one `context` for its whole life, whose certificate can be replaced.

    Build it before workers are forked: they then share the key of the session tickets, so that a client is taken up
    again by whichever worker it meets.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsFault."""
        self._files = files
        self._marks = _marks(files)
        self._newest = self.context = server_context(files)
        self.expires_at = _expiry(files)
        """Until when the certificate of new connections is valid, in unix seconds; None when it cannot be told."""
        self.context.sni_callback = self._choose

    def renew(self, *, force: bool = False) -> bool:
        """Take the files for new connections if they changed since the last look, or anyway; True when taken.

        Raises TlsFault, once for each change; what was in use stays in use.
        """
        marks = _marks(self._files)
        if marks == self._marks and not force:
            return False
        self._marks = marks
        self._newest = server_context(self._files)
        self.expires_at = _expiry(self._files)
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake before a certificate is needed, also for clients that send no name.

        Loading new files into the first context would leave it without a key when they do not match, and with two
        certificates when the kind of key changed. A fresh listener context would forget the session tickets.
        """
        if self._newest is not self.context:
            connection.context = self._newest


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context for HTTP/1.1 over TLS 1.2 or 1.3 (RFC 9325 section 3.1.1). Raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Python 3.12 and later: OpenSSL asks the kernel for TLS in each handshake, and does it itself where there is none.
    context.options |= getattr(ssl, "OP_ENABLE_KTLS", 0)
    context.set_alpn_protocols(["http/1.1"])
    certificate = _readable("certificate", files.certificate)
    _readable("key", files.key)
    try:
        # Alone first: an error of the pair does not tell which of both is no PEM file.
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
        raise TlsFault("certificate", f"the files went away: {exc.strerror}") from exc
    return context


def _expiry(files: TlsFiles) -> float | None:
    # Loaded where there is TLS only: 3 MB.
    from cryptography import x509  # noqa: PLC0415

    try:
        # The first is the server's own, those of its chain follow (RFC 8446 section 4.4.2).
        return x509.load_pem_x509_certificate(Path(files.certificate).read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


class _KeyIsEncrypted(Exception):
    pass


def _refuse_password() -> NoReturn:
    # Without this OpenSSL would ask on the terminal.
    raise _KeyIsEncrypted


def _readable(part: Part, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise TlsFault(part, f"cannot read {path}: {exc.strerror}") from exc


def _marks(files: TlsFiles) -> Marks:
    """What changes when a file is written again or replaced; a missing file has zeros."""
    marks = []
    for path in (files.certificate, files.key):
        try:
            status = os.stat(path)
        except OSError:
            marks.append((0, 0, 0))
        else:
            marks.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(marks)
