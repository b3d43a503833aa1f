"""The way to Redis of one worker, whatever its deployment: a question goes to the server that has its key."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from itertools import product
from typing import Final, get_args

from provider.errors import StoreError
from provider.observability.metrics.groups import Redis
from provider.outgoing.names import OperatorNames
from provider.redis.connection import Command, NodeConnection, Reply, load_library
from provider.redis.errors import error_code, reason_of
from provider.redis.pipeline import Job, Lane, Operation, Question, foreseen_errors
from provider.redis.topology import routes_of
from provider.redis.url import Address, RedisTarget

log = logging.getLogger("provider.shared")

# While Redis is away and nobody asks it anything, we do, so that its return is noticed.
PROBE_SECONDS = 2.0


class Script:
    """A Lua script: `text` is sent only where the server does not know it yet."""

    def __init__(self, text: str, operation: Operation) -> None:
        self.text: Final = text
        self.operation: Final = operation
        # The name that Redis itself gives to scripts.
        self.sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], arguments: Iterable[str | int]) -> Question:
        """The question to run it; `keys` live in one slot."""
        tail = (len(keys), *keys, *arguments)
        return Question(keys[0], ("EVALSHA", self.sha, *tail), self.operation, ("EVAL", self.text, *tail))


class RedisLink:
    """Asks Redis. Everything that goes wrong is a StoreError, whose `detail` holds no secret and names no host.

    `timeout_seconds` bounds one exchange with a server, connecting included; a question waits for one before its own
    at most. One whose time is up may still take effect. `wait_replicas`: replicas that must have got what was written
    before it counts as done (WAIT). `tells`: say in the log when a server goes away and comes back.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        timeout_seconds: float,
        wait_replicas: int = 0,
        tells: bool = True,
        metrics: Redis | None = None,
    ) -> None:
        load_library()
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._wait_replicas = wait_replicas
        self._tells = tells
        self._metrics = metrics or Redis(is_on=False)
        for labels in product(get_args(Operation), ("ok", "failed")):
            self._metrics.seconds.begin(*labels)
        self._names = OperatorNames()
        self._routes = routes_of(target, timeout_seconds=timeout_seconds, names=self._names)
        self._lanes: dict[Address, Lane] = {}
        self._unrouted: list[Job] = []
        self._router: asyncio.Task[None] | None = None
        # Servers that were given up; None: nobody could say which server it is.
        self._away: set[Address | None] = set()
        self._lost_key = ""
        self._prober: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_cluster(self) -> bool:
        """Do keys of different slots live on different servers?"""
        return self._target.kind == "cluster"

    @property
    def is_up(self) -> bool:
        """Is no server given up?"""
        return not self._away

    def ask(self, question: Question) -> Awaitable[Reply]:
        """The reply; what is asked in one turn of the loop goes out together. Raises StoreError.

        An error reply of the server is a StoreError too.
        """
        if self._closed:
            raise StoreError(detail="Redis: the connection was closed")
        loop = asyncio.get_running_loop()
        job = Job(question, loop.create_future())
        address = self._routes.known(question.key)
        if address is not None:
            self._lane(address).put(job)
        else:
            self._unrouted.append(job)
            if self._router is None:
                self._router = loop.create_task(self._find_routes())
        return self._named(job, time.perf_counter())

    async def ask_everywhere(self, *commands: Command) -> list[list[Reply]]:
        """Of each server that takes writes the reply to each command, error replies included. Raises StoreError."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._routes.every_address()
                return [await self._ask_apart(address, commands) for address in addresses]
        except foreseen_errors() as error:
            self._routes.forget()
            raise StoreError(detail=f"Redis: {reason_of(error, self._timeout_seconds)}") from None

    async def close(self) -> None:
        """Finish what was asked before, then close the connections."""
        self._closed = True
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
        if self._router is not None:
            await asyncio.wait([self._router])
        # What is redirected goes from one lane to another.
        while any([await lane.finish() for lane in list(self._lanes.values())]):
            pass
        for lane in self._lanes.values():
            await lane.close()

    async def _named(self, job: Job, began: float) -> Reply:
        try:
            reply = await job.reply
        except StoreError as error:
            self._lost_key = job.question.key
            self._tell(job, began, False)
            raise StoreError(detail=f"Redis: {error.detail}") from None
        self._tell(job, began, True)
        return reply

    def _tell(self, job: Job, began: float, is_answered: bool) -> None:
        result = "ok" if is_answered else "failed"
        self._metrics.seconds.observe(time.perf_counter() - began, job.question.operation, result)

    async def _ask_apart(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        """On a connection of its own, so that no batch has to wait for it."""
        node = NodeConnection(self._target, address, names=self._names)
        try:
            return await node.exchange(commands)
        finally:
            await node.close()

    async def _find_routes(self) -> None:
        """Ask where things are, once for all that wait for it."""
        reason = "the connection was given up"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Others may join them while one is looked up.
                while self._unrouted:
                    address = await self._routes.address_of(self._unrouted[0].question.key)
                    self._lane(address).put(self._unrouted.pop(0))
        except foreseen_errors() as error:
            reason = reason_of(error, self._timeout_seconds)
            self._changed(None, reason)
        finally:
            self._router = None
            jobs, self._unrouted = self._unrouted, []
            for job in jobs:
                job.fail(reason)

    def _lane(self, address: Address) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = Lane(
                NodeConnection(self._target, address, names=self._names),
                timeout_seconds=self._timeout_seconds,
                wait_replicas=self._wait_replicas,
                answered=self._answered,
                changed=partial(self._changed, address),
            )
        return lane

    def _answered(self, job: Job, reply: Reply) -> None:
        code = error_code(reply)
        if code in ("MOVED", "ASK") and not job.redirected:
            # Redis cluster specification, "Redirection and resharding".
            job.redirected, job.asking = True, code == "ASK"
            if code == "MOVED":
                self._routes.forget()
            self._lane((reply.host, reply.port)).put(job)
        elif code:
            job.fail(reason_of(reply, self._timeout_seconds))
        elif not job.reply.done():
            job.reply.set_result(reply)

    def _changed(self, address: Address | None, reason: str | None) -> None:
        """A server was given up, or has answered. Told once each, however often it is tried meanwhile."""
        if reason is not None:
            self._routes.forget()
            if self._tells and not self._away:
                log.error("Redis is away: %s", reason)
            self._away.add(address)
            if self._prober is None and not self._closed:
                self._prober = asyncio.get_running_loop().create_task(self._probe())
        elif self._away:
            # Servers of a cluster are away each by itself; elsewhere there is one, wherever it is by now.
            self._are_back({address, None} if self._target.kind == "cluster" else set(self._away))

    def _are_back(self, servers: set[Address | None]) -> None:
        self._away -= servers
        if self._tells and not self._away:
            log.info("Redis is back")

    async def _probe(self) -> None:
        """Ask for what was asked in vain, until there is an answer."""
        while self._away and not self._closed:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.ask(Question(self._lost_key, ("EXISTS", self._lost_key), "check", writes=False))
            except StoreError:
                continue
            if self._away:
                # The server that was given up does not come back where another one has its slots.
                self._are_back(set(self._away))
        self._prober = None
