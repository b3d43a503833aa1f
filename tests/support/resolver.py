"""A name server on loopback whose answers a test chooses, and a server process that asks nobody else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

# Of 127.0.0.0/8, so that nothing else is in the way; the port cannot be chosen in resolv.conf.
ADDRESS = "127.66.0.1"
# A mount namespace of its own lets this one process see another resolv.conf.
_MOUNTED = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
_IN_NAMESPACE = f"import os, sys; os.execvp('unshare', ['unshare', '-m', 'sh', '-c', {_MOUNTED!r}, *sys.argv[1:]])"


@dataclass
class Names(BaseResolver):
    """`records` maps a name to its answers, one list of addresses per look-up; the last one stays."""

    records: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """Answer A and AAAA; a look-up of both counts as one."""
        reply = request.reply()
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        answers = self.records.get(name)
        if answers is None:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        turn = sum(1 for asked in self.asked if asked == (name, kind))
        self.asked.append((name, kind))
        for address in answers[min(turn, len(answers) - 1)]:
            if (":" in address) == (kind == "AAAA"):
                data = AAAA(address) if kind == "AAAA" else A(address)
                reply.add_answer(RR(request.q.qname, request.q.qtype, rdata=data, ttl=0))
        return reply

    def lookups(self, name: str) -> int:
        """How often a name was looked up."""
        return sum(1 for asked in self.asked if asked == (name, "A"))


@contextmanager
def running_resolver() -> Iterator[Names]:
    """Raises OSError where the port may not be bound."""
    names = Names()
    server = DNSServer(names, address=ADDRESS, port=53, logger=DNSLogger(logf=lambda _: None))
    server.start_thread()
    try:
        yield names
    finally:
        server.stop()
        server.server.server_close()


def serve_command(folder: Path) -> list[str]:
    """`provider serve` as arguments of python, in a mount namespace where only our resolver is known."""
    path = folder / "resolv.conf"
    path.write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
    return ["-c", _IN_NAMESPACE, str(path), sys.executable, "-m", "provider", "serve"]
