"""Clients that send one long body again and again, many in parallel, in a separate process that delays no test.

`python -m tests.support.body_attackers HOST PORT PATH CONTENT-TYPE AT-A-TIME ALL` reads the body from standard input
and prints the counts of statuses as JSON, 0 for a connection that was cut.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress


async def send(host: str, port: int, head: bytes, body: bytes) -> int:
    """Send everything, whatever the server replies meanwhile; return the status."""
    status = 0
    with suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head)
            writer.write(body)
            status = int((await reader.readuntil(b"\r\n"))[9:12])
            while await reader.read(1 << 20):
                pass
        finally:
            writer.close()
    return status


async def attack(host: str, port: int, head: bytes, body: bytes, *, at_a_time: int, of_all: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    left = iter(range(of_all))

    async def one_after_another() -> None:
        for _ in left:
            statuses[await send(host, port, head, body)] += 1

    await asyncio.gather(*(one_after_another() for _ in range(at_a_time)))
    return statuses


def main(host: str, port: str, path: str, content_type: str, at_a_time: str, of_all: str) -> None:
    body = sys.stdin.buffer.read()
    fields = f"Host: x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    head = f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode()
    statuses = asyncio.run(attack(host, int(port), head, body, at_a_time=int(at_a_time), of_all=int(of_all)))
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
