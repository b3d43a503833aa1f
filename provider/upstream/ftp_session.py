"""The control connection of one FTP transfer, by ftplib. It blocks: call one method at a time, in a thread.

Commands go out; replies and the plain socket of the data connection come back. The data connection goes to exactly the
address of the control connection, whatever address the server names. The data is not read here.
"""

import ftplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from threading import Lock

from provider.errors import UpstreamError, UpstreamRefused, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.ftp_url import FtpTarget
from provider.upstream.ranges import Selection, select_range
from provider.upstream.tls_connection import TlsSession
from provider.wire.text import digits, ows

# All replies of one session together. A greeting may be long, but nobody reads it.
_MAX_REPLY_CHARS = 64 * 1024


class FtpSession:
    """Logs in, requests the file, and confirms the end of the transfer. `close()` is safe from any thread, at any time.

    Attributes after `retrieve`:
        part: the bytes that the data connection will carry; None if the server does not report the size.
        modified: time of the last change as an HTTP date; None if the server does not report it.
        data: socket of the data connection; None for a 416.
        tls: session that the TLS of the data connection resumes (RFC 4217 section 10).
    """

    def __init__(
        self,
        target: FtpTarget,
        *,
        tls_context: ssl.SSLContext,
        connect_timeout_seconds: float,
        reply_timeout_seconds: float,
    ) -> None:
        self._target = target
        self._connect_timeout_seconds = connect_timeout_seconds
        self._reply_timeout_seconds = reply_timeout_seconds
        self._ftp = _client(target, tls_context)
        self._lock = Lock()
        self._closed = False
        self._busy = False
        self.part: Selection | None = None
        self.modified: str | None = None
        self.data: socket.socket | None = None
        self.tls: TlsSession | None = None

    def retrieve(
        self, addresses: Sequence[str], range_header: str | None, if_range: str | None, opened_at: float
    ) -> None:
        """Connect to the first address that answers, log in, and start the transfer of the wanted part.

        Args:
            addresses: checked addresses of the server.
            range_header: the consumer's `Range`.
            if_range: send the whole file unless it was last changed at this time (RFC 9110 section 13.1.5).
            opened_at: monotonic seconds at the start of the session.

        Raises:
            UpstreamRefused: login or file refused.
            UpstreamUnreachable, UpstreamTimedOut: temporary failure; a later try may succeed.
            UpstreamError: the server does not speak FTP.
        """
        with self._working():
            self._connect(addresses)
            if self._closed:
                return
            ftp, target = self._ftp, self._target
            ftp.login(target.user, target.password)
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
            self._speak_utf8()
            self.modified = self._modified()
            self.part = self._part(range_header if if_range in (None, self.modified) else None)
            if self.part is None or self.part.status != 416:
                self.data = self._start()
            if isinstance(ftp.sock, ssl.SSLSocket) and ftp.sock.session is not None:
                self.tls = TlsSession(ftp.sock.session, opened_at)

    def confirm(self) -> None:
        """Wait until the server confirms that all data was sent. Raises UpstreamError if it does not."""
        with self._working():
            self._ftp.voidresp()

    def close(self) -> None:
        """Close both connections. A thread in the middle of a call is woken and closes them itself. Idempotent."""
        with self._lock:
            self._closed = True
            if self._busy:
                if self._ftp.sock is not None:
                    with suppress(OSError):
                        # Not SSLSocket's own shutdown, which would remove TLS while the thread still uses it.
                        socket.socket.shutdown(self._ftp.sock, socket.SHUT_RDWR)
                return
        self._close()

    def _close(self) -> None:
        with suppress(OSError):
            self._ftp.close()
        if self.data is not None:
            self.data.close()

    def _connect(self, addresses: Sequence[str]) -> None:
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                self._ftp.connect(address, self._target.port, self._connect_timeout_seconds)
            except OSError as error:
                self._ftp.close()
                failure = error
            else:
                if self._ftp.sock is not None:
                    self._ftp.sock.settimeout(self._reply_timeout_seconds)
                return
            if self._closed:
                break
        raise failure

    def _speak_utf8(self) -> None:
        """Ask a server that offers it to read names as UTF-8 (RFC 2640); some otherwise use their own code page."""
        if self._target.path.isascii():
            return
        with suppress(ftplib.error_reply, ftplib.error_temp, ftplib.error_perm):
            offered = {ows(line).upper() for line in self._ftp.voidcmd("FEAT").splitlines()}
            if "UTF8" in offered:
                self._ftp.voidcmd("OPTS UTF8 ON")

    def _part(self, range_header: str | None) -> Selection | None:
        """Select the wanted bytes by the reply to SIZE (RFC 3659 section 4). None if that reply cannot be relied on.

        Servers that generate their files report 0 and then send any number of bytes.
        """
        try:
            reply = self._ftp.voidcmd(f"SIZE {self._target.path}")
        except (ftplib.error_reply, ftplib.error_temp):
            return None
        except ftplib.error_perm as error:
            if _code(error) == "550":
                raise
            return None
        # Some servers reply `213 10000 bytes`.
        total = digits(ows(reply[4:]).partition(" ")[0], max_chars=18) if reply.startswith("213 ") else None
        return select_range(range_header, total) if total else None

    def _modified(self) -> str | None:
        """Time of the last change by MDTM, in UTC (RFC 3659 section 3)."""
        try:
            reply = self._ftp.voidcmd(f"MDTM {self._target.path}")
            return format_datetime(datetime.strptime(reply[4:18], "%Y%m%d%H%M%S").replace(tzinfo=UTC), usegmt=True)
        except (ftplib.error_reply, ftplib.error_temp, ftplib.error_perm, ValueError):
            # The server lacks MDTM. If something is wrong with the file, the next commands report it.
            return None

    def _start(self) -> socket.socket:
        command = f"RETR {self._target.path}"
        first = self.part.first if self.part is not None else 0
        if first:
            try:
                return self._ftp.ntransfercmd(command, first)[0]
            except ftplib.error_perm as error:
                if self.part is None or _code(error) == "550":
                    raise
                # The server lacks REST, so send the whole file (RFC 9110 section 14.2).
                self.part = select_range(None, self.part.total)
        return self._ftp.ntransfercmd(command)[0]

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Guard one call in a thread: translate foreign errors, and close if `close()` was called meanwhile."""
        with self._lock:
            if self._closed:
                raise UpstreamUnreachable(detail="origin: closed by us")
            self._busy = True
        try:
            yield
        except (OSError, EOFError, ValueError, AttributeError, ftplib.Error) as error:
            self._closed = True
            # Replies may contain accounts and file names; keep them out of tracebacks.
            raise _named(error) from None
        finally:
            with self._lock:
                self._busy = False
                closed = self._closed
            if closed:
                self._close()


def _client(target: FtpTarget, tls_context: ssl.SSLContext) -> "_Client":
    if target.security == "none":
        return _Client(target)
    kind = _ImplicitTlsClient if target.security == "implicit" else _TlsClient
    return kind(target, tls_context)


class _Client(ftplib.FTP):
    """ftplib's client with a limit on replies, and octets as latin-1 characters."""

    def __init__(self, target: FtpTarget) -> None:
        super().__init__(encoding="latin-1")
        self._name = target.host
        self._left_chars = _MAX_REPLY_CHARS

    def makepasv(self) -> tuple[str, int]:
        """PASV, or EPSV (RFC 2428) where that is refused; the address is the control connection's with both."""
        try:
            return super().makepasv()
        except (ftplib.error_reply, ftplib.error_temp, ftplib.error_perm):
            peer = self.sock.getpeername() if self.sock is not None and self.af == socket.AF_INET else None
            if peer is None:
                raise
            return ftplib.parse229(self.sendcmd("EPSV"), peer)  # noqa: S321 - publishers choose it

    def getline(self) -> str:
        line = super().getline()
        self._left_chars -= len(line)
        if self._left_chars < 0:
            raise ftplib.error_proto("replies are too long")  # noqa: S321 - an error, not a call
        return line


class _TlsClient(_Client, ftplib.FTP_TLS):
    """Adds explicit TLS. Data sockets are handed out plain, since the event loop does their TLS."""

    def __init__(self, target: FtpTarget, context: ssl.SSLContext) -> None:
        ftplib.FTP_TLS.__init__(self, context=context, encoding="latin-1")  # noqa: S321 - publishers choose it
        self._name = target.host
        self._left_chars = _MAX_REPLY_CHARS

    def auth(self) -> str:
        # Check the certificate against the name, although the connection goes to a checked address.
        self.host = self._name
        return super().auth()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        return ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - as above


class _ImplicitTlsClient(_TlsClient):
    """Adds implicit TLS, from the first byte, as on port 990."""

    def connect(
        self, host: str = "", port: int = 0, timeout: float | None = None, source_address: tuple[str, int] | None = None
    ) -> str:
        self.timeout, self.source_address = timeout, source_address
        plain = socket.create_connection((host, port), timeout, source_address)
        self.af = plain.family
        try:
            self.sock = self.context.wrap_socket(plain, server_hostname=self._name)
        except BaseException:
            plain.close()
            raise
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome


def _code(error: Exception) -> str:
    """The three digits of a reply. The rest may repeat names of accounts and files."""
    code = str(error)[:3]
    return code if len(code) == 3 and digits(code) is not None else "???"


def _named(error: Exception) -> UpstreamError:
    """Translate an error of ftplib, ssl or the system; the first matching kind wins."""
    for kind, ours, text in _NAMES:
        if isinstance(error, kind):
            return ours(detail=f"origin: {text}")
    if isinstance(error, ftplib.error_perm):
        return UpstreamRefused(detail=f"the FTP server answered {_code(error)}")
    if isinstance(error, ftplib.error_temp):
        return UpstreamUnreachable(detail=f"origin: the FTP server answered {_code(error)}")
    if isinstance(error, OSError):
        return UpstreamUnreachable(detail=f"origin: FTP connection failed (errno {error.errno})")
    # AttributeError: ftplib's attributes are None after another thread closed it. ValueError: a reply without a port.
    return UpstreamError(detail="origin: the server does not speak FTP")


_NAMES: tuple[tuple[type[Exception], type[UpstreamError], str], ...] = (
    (TimeoutError, UpstreamTimedOut, "the FTP server was silent"),
    (ssl.SSLCertVerificationError, UpstreamUnreachable, "certificate refused"),
    (ssl.SSLError, UpstreamUnreachable, "TLS failed"),
    (EOFError, UpstreamUnreachable, "the FTP server closed"),
)
