"""An FTP server (pyftpdlib, as a process) over a folder: prints one JSON line with its port.

    python tests/support/ftp_server.py <folder> <mode> [<certificate.pem> <key.pem>]

Modes: `plain`; `explicit` (TLS demanded on both connections); `implicit` (TLS from
the first byte); `lies` (its passive replies name another address);
`no-size` (neither SIZE nor REST); `cuts` (drops each data connection after 100 000 bytes).
"""

import json
import logging
import sys
import warnings

warnings.simplefilter("ignore")

from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import FTPServer  # noqa: E402

USER, PASSWORD = "publisher", "p@ss:w0rd/planted"


class Cutting(DTPHandler):
    """Closes in the middle."""

    def initiate_send(self) -> None:
        if self.tot_bytes_sent >= 100_000:
            self.close()
            return
        super().initiate_send()


class ImplicitTls(TLS_FTPHandler):
    """Greets once TLS stands."""

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
    base = ImplicitTls if mode == "implicit" else TLS_FTPHandler if tls else FTPHandler
    handler = type("Handler", (base,), {})
    handler.authorizer = authorizer
    handler.auth_failed_timeout = 0
    if tls:
        handler.certfile, handler.keyfile = tls
        handler.tls_control_required = handler.tls_data_required = True
    if mode == "lies":
        handler.masquerade_address = "10.11.12.13"
    if mode == "no-size":
        known = dict(FTPHandler.proto_cmds)
        del known["SIZE"], known["REST"]
        handler.proto_cmds = known
    if mode == "cuts":
        handler.use_sendfile = False
        handler.dtp_handler = Cutting
    server = FTPServer(("127.0.0.1", 0), handler)
    print(json.dumps({"port": server.address[1]}), flush=True)
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
