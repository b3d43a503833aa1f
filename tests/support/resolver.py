"""A name server on loopback whose answers a test chooses, and a server process that asks only this one."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from provider.testing.ports import free_ports

# Of 127.0.0.0/8, so that nothing else is in the way; the port cannot be chosen in resolv.conf.
ADDRESS = "127.66.0.1"
# A mount namespace of its own lets this one process see another resolv.conf.
_MOUNTED = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
_IN_NAMESPACE = f"import os, sys; os.execvp('unshare', ['unshare', '-m', 'sh', '-c', {_MOUNTED!r}, *sys.argv[1:]])"


@dataclass
class Names(BaseResolver):
    """The names and their answers.

    `records`: a name's answers, one list of addresses per lookup; the last one stays.
    `below`: domains whose subdomains all have these addresses.
    `rcodes`: answers without addresses.
    `silent`: domains whose subdomains get no answer at all.
    `server`: where it listens, as settings name it.
    """

    records: dict[str, list[list[str]]] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    rcodes: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    server: str = ""

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """Answer A and AAAA; a look-up of both counts as one."""
        reply = request.reply()
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        domain = name.partition(".")[2]
        if domain in self.silent or name in self.silent:
            self.asked.append((name, kind))
            # dnslib sends nothing then.
            raise DNSError("silent")
        answers = self.records.get(name) or ([self.below[domain]] if domain in self.below else None)
        if answers is None:
            reply.header.rcode = self.rcodes.get(name, RCODE.NXDOMAIN)
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
def running_resolver(address: str = ADDRESS, port: int = 53) -> Iterator[Names]:
    """Run a resolver; port 0 takes a free one. Raises OSError where the port may not be bound."""
    names = Names()
    with _listening(names, address, port, tcp=False) as taken:
        names.server = f"{address}:{taken}"
        yield names


@contextmanager
def over_udp_and_tcp(resolver: BaseResolver) -> Iterator[int]:
    """Answer on one free port of 127.0.0.1 over both protocols; yields the port."""
    (port,) = free_ports(1)
    with ExitStack() as running:
        for tcp in (True, False):
            running.enter_context(_listening(resolver, "127.0.0.1", port, tcp=tcp))
        yield port


@contextmanager
def _listening(resolver: BaseResolver, address: str, port: int, *, tcp: bool) -> Iterator[int]:
    server = DNSServer(resolver, address=address, port=port, tcp=tcp, logger=DNSLogger(logf=lambda _: None))
    server.start_thread()
    try:
        yield server.server.server_address[1]
    finally:
        server.stop()
        server.server.server_close()


def serve_command(folder: Path, server: str = ADDRESS) -> list[str]:
    """`provider serve` as arguments of python, in a mount namespace where only the resolver at `server` is known."""
    path = folder / "resolv.conf"
    path.write_text(f"nameserver {server.removesuffix(':53')}\noptions timeout:1 attempts:1\n")
    return ["-c", _IN_NAMESPACE, str(path), sys.executable, "-m", "provider", "serve"]
