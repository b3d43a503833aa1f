"""When is a descriptor worth another try? One epoll per loop, itself a single reader of the loop.

A wait on a loop's own readers costs a handle, two system calls and a callback each time; here it mostly costs nothing,
as a descriptor stays registered, and all descriptors that are ready are served in one turn of the loop.
"""

import asyncio
import select
from collections.abc import Callable
from weakref import WeakKeyDictionary

Ready = Callable[[int], None]


class Readiness:
    """Calls back with epoll's events. Linux only. Errors and hang-ups are always reported."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Ready] = {}
        loop.add_reader(self._epoll.fileno(), self._serve)

    def __len__(self) -> int:
        """Descriptors that are watched."""
        return len(self._callbacks)

    def watch(self, descriptor: int, events: int, callback: Ready) -> None:
        """Call `callback(events)` when one of `events` comes; replaces an earlier watch of the descriptor."""
        known = descriptor in self._callbacks
        self._callbacks[descriptor] = callback
        if known:
            try:
                self._epoll.modify(descriptor, events)
            except FileNotFoundError:
                # Its former owner was closed without a `forget`, which the kernel does by itself.
                pass
            else:
                return
        self._epoll.register(descriptor, events)

    def forget(self, descriptor: int, callback: Ready) -> None:
        """Watch it no more for `callback`. Idempotent, and harmless when the descriptor is another's by now."""
        if self._callbacks.get(descriptor) == callback:
            del self._callbacks[descriptor]
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                return

    def _serve(self) -> None:
        for descriptor, events in self._epoll.poll(0):
            callback = self._callbacks.get(descriptor)
            if callback is not None:
                callback(events)


_of_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, Readiness]" = WeakKeyDictionary()


def readiness() -> Readiness:
    """The one of the running loop."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = Readiness(loop)
    return found
