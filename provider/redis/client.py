"""The way to Redis of one worker, whatever its deployment: a question goes to the server that has its key."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final

from provider.errors import StoreError
from provider.outgoing.names import OperatorNames
from provider.redis.connection import Command, NodeConnection, Reply, load_library
from provider.redis.errors import error_code, reason_of
from provider.redis.pipeline import Job, Operation, Pipeline, Question, foreseen_errors
from provider.redis.topology import topology_of
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


class RedisClient:
    """Asks Redis. Everything that goes wrong is a StoreError, whose `detail` holds no secret and names no host.

    `timeout_seconds` bounds one exchange with a server, connecting included; a question waits for one before its own
    at most. One whose time is up may still take effect. `wait_replicas`: replicas that must have got what was written
    before it counts as done (WAIT). `tells`: say in the log when a server goes away and comes back. `observe` is told
    of each question its operation, the seconds it took, and whether it was answered.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        timeout_seconds: float,
        wait_replicas: int = 0,
        logs_outages: bool = True,
        record: Callable[[Operation, float, bool], None] | None = None,
    ) -> None:
        load_library()
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._wait_replicas = wait_replicas
        self._logs_outages = logs_outages
        self._record = record
        self._names = OperatorNames()
        self._topology = topology_of(target, timeout_seconds=timeout_seconds, names=self._names)
        self._pipelines: dict[Address, Pipeline] = {}
        self._unrouted: list[Job] = []
        self._finder: asyncio.Task[None] | None = None
        # Servers that were given up; None: nobody could say which server it is.
        self._down: set[Address | None] = set()
        self._lost_key = ""
        self._prober: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Is no server given up?"""
        return not self._down

    def ask(self, question: Question) -> Awaitable[Reply]:
        """The reply; what is asked in one turn of the loop goes out together. Raises StoreError.

        An error reply of the server is a StoreError too.
        """
        if self._closed:
            raise StoreError(detail="Redis: the connection was closed")
        loop = asyncio.get_running_loop()
        job = Job(question, loop.create_future())
        address = self._topology.known(question.key)
        if address is not None:
            self._pipeline(address).put(job)
        else:
            self._unrouted.append(job)
            if self._finder is None:
                self._finder = loop.create_task(self._find_servers())
        return self._awaited(job, time.perf_counter())

    async def ask_everywhere(self, *commands: Command) -> list[list[Reply]]:
        """Of each server that takes writes the reply to each command, error replies included. Raises StoreError."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._topology.every_address()
                return [await self._ask_on_own_connection(address, commands) for address in addresses]
        except foreseen_errors() as error:
            self._topology.forget()
            raise StoreError(detail=f"Redis: {reason_of(error, self._timeout_seconds)}") from None

    async def close(self) -> None:
        """Finish what was asked before, then close the connections."""
        self._closed = True
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
        if self._finder is not None:
            await asyncio.wait([self._finder])
        # What is redirected goes from one pipeline to another.
        while any([await pipeline.finish() for pipeline in list(self._pipelines.values())]):
            pass
        for pipeline in self._pipelines.values():
            await pipeline.close()

    async def _awaited(self, job: Job, began: float) -> Reply:
        try:
            reply = await job.reply
        except StoreError as error:
            self._lost_key = job.question.key
            self._record_outcome(job, began, False)
            raise StoreError(detail=f"Redis: {error.detail}") from None
        self._record_outcome(job, began, True)
        return reply

    def _record_outcome(self, job: Job, began: float, is_answered: bool) -> None:
        if self._record is not None:
            self._record(job.question.operation, time.perf_counter() - began, is_answered)

    async def _ask_on_own_connection(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        """On a connection of its own, so that no batch has to wait for it."""
        node = NodeConnection(self._target, address, names=self._names)
        try:
            return await node.exchange(commands)
        finally:
            await node.close()

    async def _find_servers(self) -> None:
        """Ask where things are, once for all that wait for it."""
        reason = "the connection was given up"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Others may join them while one is looked up.
                while self._unrouted:
                    address = await self._topology.address_of(self._unrouted[0].question.key)
                    self._pipeline(address).put(self._unrouted.pop(0))
        except foreseen_errors() as error:
            reason = reason_of(error, self._timeout_seconds)
            self._changed(None, reason)
        finally:
            self._finder = None
            jobs, self._unrouted = self._unrouted, []
            for job in jobs:
                job.fail(reason)

    def _pipeline(self, address: Address) -> Pipeline:
        pipeline = self._pipelines.get(address)
        if pipeline is None:
            pipeline = self._pipelines[address] = Pipeline(
                NodeConnection(self._target, address, names=self._names),
                timeout_seconds=self._timeout_seconds,
                wait_replicas=self._wait_replicas,
                answered=self._answered,
                changed=partial(self._changed, address),
            )
        return pipeline

    def _answered(self, job: Job, reply: Reply) -> None:
        code = error_code(reply)
        if code in ("MOVED", "ASK") and not job.redirected:
            # Redis cluster specification, "Redirection and resharding".
            job.redirected, job.asking = True, code == "ASK"
            if code == "MOVED":
                self._topology.forget()
            self._pipeline((reply.host, reply.port)).put(job)
        elif code:
            job.fail(reason_of(reply, self._timeout_seconds))
        elif not job.reply.done():
            job.reply.set_result(reply)

    def _changed(self, address: Address | None, reason: str | None) -> None:
        """A server was given up, or has answered. Told once each, however often it is tried meanwhile."""
        if reason is not None:
            self._topology.forget()
            if self._logs_outages and not self._down:
                log.error("Redis is away: %s", reason)
            self._down.add(address)
            if self._prober is None and not self._closed:
                self._prober = asyncio.get_running_loop().create_task(self._probe())
        elif self._down:
            # Servers of a cluster are away each by itself; elsewhere there is one, wherever it is by now.
            self._came_back({address, None} if self._target.kind == "cluster" else set(self._down))

    def _came_back(self, servers: set[Address | None]) -> None:
        self._down -= servers
        if self._logs_outages and not self._down:
            log.info("Redis is back")

    async def _probe(self) -> None:
        """Ask for what was asked in vain, until there is an answer."""
        while self._down and not self._closed:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.ask(Question(self._lost_key, ("EXISTS", self._lost_key), "check", writes=False))
            except StoreError:
                continue
            if self._down:
                # The server that was given up does not come back where another one has its slots.
                self._came_back(set(self._down))
        self._prober = None
