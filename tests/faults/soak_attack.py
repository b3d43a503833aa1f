"""What strangers do in `soak.py --attack`: all of it at once, against the servers of the stage, on loopback only.

The origins answer what a hostile publisher's would. Downloads of hostile files are paid for, as an attacker can.
"""

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.http_client import download, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from tests.faults.soak_stage import Stage

# Answers of a hostile origin, by path; each ends its connection.
BROKEN: dict[str, bytes] = {
    "no-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "no-gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
    "bare-lf": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "odd-part": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
    "no-http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "nothing": b"",
    "late": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
}
BODY_BYTES = 2 << 20
ATTACKERS_OF_A_KIND = 2
PAUSE_SECONDS = 0.05
UNANSWERED_SECONDS = 20.0


@dataclass
class Attack:
    """The attackers, and how often each kind did what it does."""

    server_urls: list[str]
    file_url: Callable[[random.Random], str]
    contract: str
    chain_id: int
    silent_dns: bool
    silent_url: str
    stop: threading.Event
    done: Counter[str] = field(default_factory=Counter)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin all kinds."""
        for kind in KINDS:
            for number in range(ATTACKERS_OF_A_KIND):
                thread = threading.Thread(target=self._live, args=(kind, number), daemon=True)
                thread.start()
                self.threads.append(thread)

    def join(self) -> None:
        """Wait until all have stopped."""
        for thread in self.threads:
            thread.join(UNANSWERED_SECONDS + 5)

    def _live(self, kind: str, number: int) -> None:
        dice = random.Random(f"{kind}{number}")
        while not self.stop.is_set():
            # What they get for it does not matter.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                KINDS[kind](self, dice)
            self.done[kind] += 1
            self.stop.wait(dice.uniform(0, 2 * PAUSE_SECONDS))

    def server(self, dice: random.Random) -> str:
        """One of the servers."""
        return dice.choice(self.server_urls)


def _post(url: str, body: bytes) -> None:
    request("POST", url, body=body, headers={"Content-Type": "application/json"})


def _bodies(attack: Attack, dice: random.Random) -> None:
    """A body of megabytes that is worth many times its size once it is parsed."""
    filling = b"{}," * (BODY_BYTES // 3)
    head = json.dumps({"type": "url", "url": attack.silent_url, "n": 10**21}).encode()[:-1]
    _post(f"{attack.server(dice)}/api/services/fileinfo", head + b', "userdata": [' + filling + b"{}]}")


def _names(attack: Attack, dice: random.Random) -> None:
    """A name that does not resolve, a new one each time; with `silent_dns` its server says nothing."""
    name = f"n{dice.getrandbits(60):x}.{'silent' if attack.silent_dns else 'invalid'}"
    _post(
        f"{attack.server(dice)}/api/services/fileinfo", json.dumps({"type": "url", "url": f"http://{name}/"}).encode()
    )


def _broken_files(attack: Attack, dice: random.Random) -> None:
    """A file whose origin breaks at its first byte, or lies."""
    download(attack.file_url(dice))


def _contracts(attack: Attack, dice: random.Random) -> None:
    """A contract that refuses the call, in a file and as a wallet that is to vouch for a signature."""
    abi = {
        "type": "function",
        "name": "ownerOf",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"type": "uint256"}],
    }
    file = {"type": "smartcontract", "address": attack.contract, "chainId": attack.chain_id, "abi": abi}
    _post(f"{attack.server(dice)}/api/services/fileinfo", json.dumps(file).encode())
    query = {"address": attack.contract, "nonce": time.time_ns(), "expiration": int(time.time()) + 900}
    url = with_query(f"{attack.server(dice)}/api/services/createAuthToken", {**query, "signature": f"0x{'11' * 65}"})
    request("GET", url)


def _abort(attack: Attack, dice: random.Random) -> None:
    """A download that is reset in the middle."""
    parts = urlsplit(attack.file_url(dice))
    with socket.create_connection((parts.hostname, parts.port), timeout=UNANSWERED_SECONDS) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if dice.random() < 0.7:
            sock.recv(dice.choice((1, 100, 65536)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _slow(attack: Attack, dice: random.Random) -> None:
    """A head or a body a byte at a time, or a reply that is not read."""
    parts = urlsplit(attack.server(dice))
    with socket.create_connection((parts.hostname, parts.port), timeout=UNANSWERED_SECONDS) as sock:
        kind = dice.randrange(3)
        if kind == 0:
            data = b"GET /api/services/nonce?userAddress=0x0 HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 200
        elif kind == 1:
            data = b"POST /api/services/fileinfo HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n" + b"x" * 200
        else:
            data = b"GET /api/services/nonce HTTP/1.1\r\nHost: a\r\n\r\n" * 4
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])
            if attack.stop.wait(0.02):
                return


def _garbage(attack: Attack, dice: random.Random) -> None:
    """Bytes that are not HTTP, and requests behind one that ends its connection."""
    parts = urlsplit(attack.server(dice))
    with socket.create_connection((parts.hostname, parts.port), timeout=UNANSWERED_SECONDS) as sock:
        first = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" if dice.random() < 0.5 else dice.randbytes(60)
        sock.sendall(first + b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \xc2\xb2\r\n\r\n")
        while sock.recv(65536):
            pass


KINDS: dict[str, Callable[[Attack, random.Random], None]] = {
    "large bodies": _bodies,
    "names": _names,
    "broken files": _broken_files,
    "contracts": _contracts,
    "aborts": _abort,
    "slow clients": _slow,
    "garbage": _garbage,
}


@contextmanager
def broken_origin() -> Iterator[str]:
    """An origin that answers as `BROKEN` says and nothing at `/silent`; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def answer(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(UNANSWERED_SECONDS)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = sock.recv(4096)
                if not piece:
                    return
                head += piece
            name = head.split(b" ")[1].decode("latin-1").strip("/").partition("?")[0]
            if name == "silent":
                sock.recv(1)
            else:
                sock.sendall(BROKEN.get(name, b""))

    def serve() -> None:
        while not stopped.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def attacking(stage: Stage) -> Iterator[Attack]:
    """Publish hostile files, buy them, and get everybody ready; `start` begins."""
    with broken_origin() as url:
        large = f"{stage.origin.url}/bytes/40000000"
        asset = stage.publisher.publish([*(url_file(f"{url}/{name}") for name in BROKEN), url_file(large)])
        consumers = [Consumer(stage.chain.wallet(SPARE_KEYS[9]), server.url) for server in stage.servers]
        stage.publisher.mint(asset.datatokens[0], consumers[0].address)
        order_tx = consumers[0].order(asset)

        def file_url(dice: random.Random) -> str:
            index = dice.randrange(len(BROKEN) + 1)
            # Asking for the last nonce is what strangers save themselves.
            nonce = str(time.time_ns())
            return dice.choice(consumers).download_url(asset, order_tx, file_index=index, nonce=nonce)

        servers = [server.url for server in stage.servers]
        # The data NFT reverts every call that it does not know.
        yield Attack(
            servers, file_url, asset.data_nft, asset.chain_id, stage.names_are_silent, f"{url}/silent", stage.stop
        )
