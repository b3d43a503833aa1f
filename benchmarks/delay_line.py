"""The program of a line that takes time: `python -m benchmarks.delay_line NEAR FAR ADDRESS SECONDS`.

It makes a network namespace of its own and joins it to ours by two TUN devices. Each IP packet is held for SECONDS and
then passed on, in order, so that windows, slow start and acknowledgements of TCP are those of a distant host. The
kernel hands over segments of up to 64 KiB with the size of the packets that they stand for (tun.rst, "vnet_hdr";
linux/virtio_net.h), so the windows count packets of 1500 bytes and few calls move many of them. Needs root.

ADDRESS is an IPv4 address that ends in 1: ours on the line. The other end has the next one. With SECONDS 0 there are no
devices, and whoever started the program joins the namespace by other means.

It says `ready` on stdout and ends with its stdin. Namespace and devices end with it and with what runs in them.
"""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field

# linux/if_tun.h and linux/sched.h
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4 = 0x01, 0x02
_CLONE_NEWNET = 0x40000000
# A segment with both its headers.
_PACKET_BYTES = (64 << 10) + 256
_PACKETS_PER_TURN = 64
# The kernel drops what nobody has read by then, which this line must not add.
_QUEUE_PACKETS = 10_000


@dataclass(frozen=True, slots=True)
class _Lane:
    """One direction: what is read from `source` goes to `target`. `held`: when each packet is due, and its bytes."""

    source: int
    target: int
    held: "deque[tuple[float, bytes]]" = field(default_factory=deque)

    def take(self, delay_seconds: float) -> None:
        """Read what waits, a turn's worth."""
        for _ in range(_PACKETS_PER_TURN):
            try:
                packet = os.read(self.source, _PACKET_BYTES)
            except BlockingIOError:
                return
            self.held.append((time.monotonic() + delay_seconds, packet))

    def deliver(self, now: float) -> None:
        """Pass on what is due. The kernel may refuse a packet, which is then lost, as on any line."""
        while self.held and self.held[0][0] <= now:
            _, packet = self.held.popleft()
            try:
                os.write(self.target, packet)
            except OSError as exc:
                print(f"lost a packet: {exc.strerror}", file=sys.stderr, flush=True)


def main(near: str, far: str, address: str, seconds: float) -> None:
    """Make the line and carry packets until stdin ends."""
    other_address = f"{address.removesuffix('1')}2"
    if not seconds:
        _unshare()
        _wait()
        return
    # Whoever shares its core must not add to the delay.
    os.nice(-10)
    ours = _device(near, address)
    _unshare()
    theirs = _device(far, other_address)
    lanes = (_Lane(ours, theirs), _Lane(theirs, ours))
    print("ready", flush=True)
    _carry(lanes, seconds)


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.read()


def _carry(lanes: "tuple[_Lane, ...]", delay_seconds: float) -> None:
    by_source = {lane.source: lane for lane in lanes}
    watched = [*by_source, sys.stdin.fileno()]
    while True:
        next_due = min((lane.held[0][0] for lane in lanes if lane.held), default=None)
        timeout = None if next_due is None else max(0.0, next_due - time.monotonic())
        # Not epoll: it counts in whole milliseconds.
        readable, _, _ = select.select(watched, [], [], timeout)
        for descriptor in readable:
            if descriptor not in by_source:
                return
            by_source[descriptor].take(delay_seconds)
        for lane in lanes:
            lane.deliver(time.monotonic())


def _device(name: str, address: str) -> int:
    """A TUN device of the present namespace, up; its descriptor. Raises OSError."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR))
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4)
    subprocess.run(["ip", "address", "add", f"{address}/30", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "txqueuelen", str(_QUEUE_PACKETS), "up"], check=True)
    return descriptor


def _unshare() -> None:
    """Enter a new network namespace, with its loopback up. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
