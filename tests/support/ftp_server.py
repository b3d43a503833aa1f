"""An FTP server (pyftpdlib, as a process) over a folder: prints one JSON line with its port.

    python tests/support/ftp_server.py <folder> <mode> [<certificate.pem> <key.pem>]

Modes: `plain`; `explicit` (TLS demanded on both connections); `implicit` (TLS from
the first byte); `lies` (its passive replies name another address);
`no-size` (neither SIZE nor REST nor MDTM); `no-rest` (no REST);
`breaks-tls` (as `explicit`, but data connections end in their handshake);
`cuts` (drops each data connection after 100 000 bytes and replies 426);
`silently-cuts` (the same without a reply);
`size-0`, `size-more`, `size-words`, `size-450` (SIZE says 0, 1000 bytes too many, `<n> bytes`, 450);
`no-pasv` (PASV is refused, EPSV is not); `code-page` (names are latin-1 until `OPTS UTF8 ON`).
Its line also names a file that grows by a byte with each login.
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import FTPServer  # noqa: E402

USER, PASSWORD = "publisher", "p@ss:w0rd/planted"


class Cutting(DTPHandler):
    """Closes in the middle."""

    replies = True

    def initiate_send(self) -> None:
        if self.tot_bytes_sent < 100_000:
            super().initiate_send()
        elif self.replies:
            self.handle_close()
        else:
            self.close()


class SilentlyCutting(Cutting):
    """Closes in the middle, and never says so."""

    replies = False


class OddSize(FTPHandler):
    """Reports SIZE like servers that generate their files or their replies."""

    mode = ""

    def respond(self, resp: str, *more: object, **named: object) -> None:
        if resp.startswith("213 ") and len(resp) < 17:
            size = int(resp[4:])
            replies = {"size-0": "213 0", "size-more": f"213 {size + 1000}", "size-words": f"213 {size} bytes"}
            resp = replies.get(self.mode, "450 Not now.")
        super().respond(resp, *more, **named)


class NoPasv(FTPHandler):
    """Only EPSV, as behind some address translators."""

    def ftp_PASV(self, line: str) -> None:
        self.respond("502 PASV is off here.")


class CodePage(FTPHandler):
    """Like IIS: offers UTF-8, and uses it once asked to."""

    speaks_utf8 = False

    def decode(self, data: bytes) -> str:
        return data.decode("utf-8" if self.speaks_utf8 else "latin-1")

    def ftp_OPTS(self, line: str) -> None:
        if line.upper() == "UTF8 ON":
            self.speaks_utf8 = True
        super().ftp_OPTS(line)


ODD = {"no-pasv": NoPasv, "code-page": CodePage, **{f"size-{what}": OddSize for what in ("0", "more", "words", "450")}}
CUTTING = {"cuts": Cutting, "silently-cuts": SilentlyCutting}
MISSING = {"no-size": {"SIZE", "REST", "MDTM"}, "no-rest": {"REST"}}


class BreakingTls(TLS_DTPHandler):
    """Closes where TLS would begin."""

    def secure_connection(self, ssl_context: object) -> None:
        self.close()


class ImplicitTls(TLS_FTPHandler):
    """Greets after the TLS handshake."""

    def handle(self) -> None:
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        super().handle()


def main() -> None:
    folder, mode, *tls = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, folder, perm="elr")
    authorizer.add_anonymous(folder, perm="elr")
    base = ImplicitTls if mode == "implicit" else TLS_FTPHandler if tls else ODD.get(mode, FTPHandler)
    handler = type("Handler", (base,), {"mode": mode})
    handler.authorizer = authorizer
    logins = Path(tempfile.mkdtemp()) / "logins"

    def on_login(*_: object) -> None:
        with logins.open("ab") as file:
            file.write(b".")

    handler.on_login = on_login
    handler.auth_failed_timeout = 0
    if tls:
        handler.certfile, handler.keyfile = tls
        handler.tls_control_required = handler.tls_data_required = True
    if mode == "breaks-tls":
        handler.dtp_handler = BreakingTls
    if mode == "lies":
        handler.masquerade_address = "10.11.12.13"
    if mode in MISSING:
        handler.proto_cmds = {name: how for name, how in FTPHandler.proto_cmds.items() if name not in MISSING[mode]}
    if mode in CUTTING:
        handler.use_sendfile = False
        handler.dtp_handler = CUTTING[mode]
    server = FTPServer(("127.0.0.1", 0), handler)
    print(json.dumps({"port": server.address[1], "logins": str(logins)}), flush=True)
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
