"""An origin on a real socket that sends exactly the bytes a test gives it, however wrong they are."""

import asyncio
import datetime
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Exchange:
    """One request on one connection, as the script sees it."""

    request: bytes
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    sent_bytes: int = 0

    @property
    def path(self) -> str:
        return self.request.split(b" ", 2)[1].decode()

    def field(self, name: str) -> str | None:
        for line in self.request.split(b"\r\n")[1:]:
            key, _, value = line.partition(b": ")
            if key.lower() == name.lower().encode():
                return value.decode("latin-1")
        return None

    async def send(self, data: bytes, *, step: int | None = None) -> None:
        """Send in pieces of `step` bytes that leave separately."""
        for start in range(0, len(data), step or len(data) or 1):
            piece = data[start : start + (step or len(data))]
            self.writer.write(piece)
            await self.writer.drain()
            self.sent_bytes += len(piece)
            if step:
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Close with RST, unless the other side was faster."""
        if self.writer.transport.is_closing():
            # asyncio may have let go of the transport, which then cannot be aborted.
            return
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return once the other side has closed the connection."""
        try:
            while await self.reader.read(4096):
                pass
        except ConnectionError:
            pass


Script = Callable[[Exchange], Awaitable[bool | None]]


@dataclass
class RawOrigin:
    """The running origin. A script that returns True keeps its connection for another request."""

    url: str = ""
    connections: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def open(self) -> int:
        """Number of open connections."""
        return sum(not task.done() for task in self.tasks)


@asynccontextmanager
async def raw_origin(
    script: Script, *, context: ssl.SSLContext | None = None, greeting: bytes = b"", port: int = 0
) -> AsyncIterator[RawOrigin]:
    """Serve on 127.0.0.1; `url` names localhost when there is TLS. `greeting` is sent before any request."""
    origin = RawOrigin()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        origin.tasks.add(task)
        origin.connections += 1
        origin.writers.append(writer)
        try:
            writer.write(greeting)
            keep: bool | None = True
            while keep:
                request = await reader.readuntil(b"\r\n\r\n")
                for line in request.split(b"\r\n"):
                    if line.lower().startswith(b"content-length: "):
                        request += await reader.readexactly(int(line[16:]))
                exchange = Exchange(request, writer, reader)
                origin.exchanges.append(exchange)
                keep = await script(exchange)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    origin.url = f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}"
    try:
        yield origin
    finally:
        server.close()
        for task in origin.tasks:
            task.cancel()
        await asyncio.gather(*origin.tasks, return_exceptions=True)
        for writer in origin.writers:
            writer.transport.abort()
        await server.wait_closed()


def answering(*pieces: bytes, keep: bool = False, step: int | None = None) -> Script:
    """Make a script that sends the same bytes to every request and then closes or keeps the connection."""

    async def script(exchange: Exchange) -> bool:
        await exchange.send(b"".join(pieces), step=step)
        return keep

    return script


def tls_contexts(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context with a certificate for `names` (DNS names or addresses), and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "origin.pem"
    path.write_bytes(pem + key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client
