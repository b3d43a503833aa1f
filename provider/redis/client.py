"""One worker's client for Redis, of any deployment. It sends each question to the server that holds its key."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from itertools import product
from typing import Final, get_args

from provider.errors import StoreError
from provider.observability.metrics.backends import Redis
from provider.outgoing.names import OperatorNames
from provider.redis.connection import Command, NodeConnection, Reply, load_library
from provider.redis.errors import error_code, reason_of
from provider.redis.pipeline import Job, Operation, Pipeline, Question, foreseen_errors
from provider.redis.topology import topology_of
from provider.redis.url import Address, RedisTarget

log = logging.getLogger("provider.shared")

# While Redis is unreachable and nobody asks, the client probes it this often, to notice its return.
PROBE_SECONDS = 2.0


class Script:
    """A Lua script. Its `text` is sent only to a server that does not know the script yet."""

    def __init__(self, text: str, operation: Operation) -> None:
        self.text: Final = text
        self.operation: Final = operation
        # Redis identifies scripts by their SHA-1.
        self.sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], arguments: Iterable[str | int]) -> Question:
        """Make a question that runs the script. All `keys` must live in one slot."""
        tail = (len(keys), *keys, *arguments)
        return Question(keys[0], ("EVALSHA", self.sha, *tail), self.operation, ("EVAL", self.text, *tail))


class RedisClient:
    """Sends questions to Redis. Every failure is a StoreError whose `detail` holds no secret and names no host.

    `timeout_seconds`: limit for one exchange with a server, connecting included. A question waits for at most one other
        exchange before its own. One that times out may still take effect.
    `wait_replicas`: number of replicas that must acknowledge a write before it counts as done (WAIT).
    `logs_outages`: log when a server becomes unreachable and when it is back.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        timeout_seconds: float,
        wait_replicas: int = 0,
        logs_outages: bool = True,
        metrics: Redis | None = None,
    ) -> None:
        load_library()
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._wait_replicas = wait_replicas
        self._logs_outages = logs_outages
        self._metrics = metrics or Redis(is_on=False)
        for labels in product(get_args(Operation), ("ok", "failed")):
            self._metrics.seconds.begin(*labels)
        self._names = OperatorNames()
        self._topology = topology_of(target, timeout_seconds=timeout_seconds, names=self._names)
        self._pipelines: dict[Address, Pipeline] = {}
        self._unrouted: list[Job] = []
        self._finder: asyncio.Task[None] | None = None
        # Unreachable servers. None stands for "no server could say which one it is".
        self._down: set[Address | None] = set()
        self._lost_key = ""
        self._prober: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_cluster(self) -> bool:
        """Tell whether keys of different slots live on different servers."""
        return self._target.kind == "cluster"

    @property
    def is_up(self) -> bool:
        """Tell whether every server is reachable."""
        return not self._down

    def ask(self, question: Question) -> Awaitable[Reply]:
        """Return the reply. Questions asked in one turn of the event loop are sent together.

        Raises StoreError, also for an error reply of the server.
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
        """Send the commands to every server that takes writes; return the replies of each, error replies included.

        Raises StoreError.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._topology.every_address()
                return [await self._ask_on_own_connection(address, commands) for address in addresses]
        except foreseen_errors() as error:
            self._topology.forget()
            raise StoreError(detail=f"Redis: {reason_of(error, self._timeout_seconds)}") from None

    async def close(self) -> None:
        """Finish the questions asked so far, then close the connections."""
        self._closed = True
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
        if self._finder is not None:
            await asyncio.wait([self._finder])
        # A redirected question moves from one pipeline to another.
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
        result = "ok" if is_answered else "failed"
        self._metrics.seconds.observe(time.perf_counter() - began, job.question.operation, result)

    async def _ask_on_own_connection(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        """Use a separate connection, so that no batch has to wait."""
        node = NodeConnection(self._target, address, names=self._names)
        try:
            return await node.exchange(commands)
        finally:
            await node.close()

    async def _find_servers(self) -> None:
        """Look up the server of each waiting question, one lookup for all that arrive meanwhile."""
        reason = "the connection was abandoned"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # More questions may arrive during a lookup.
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
        """Note that a server failed (`reason`) or answered (None). Log an outage once, however often it is retried."""
        if reason is not None:
            self._topology.forget()
            if self._logs_outages and not self._down:
                log.error("Redis unreachable: %s", reason)
            self._down.add(address)
            if self._prober is None and not self._closed:
                self._prober = asyncio.get_running_loop().create_task(self._probe())
        elif self._down:
            # In a cluster each server fails separately. Otherwise there is one server, whatever its address is now.
            self._came_back({address, None} if self._target.kind == "cluster" else set(self._down))

    def _came_back(self, servers: set[Address | None]) -> None:
        self._down -= servers
        if self._logs_outages and not self._down:
            log.info("Redis reachable again")

    async def _probe(self) -> None:
        """Repeat the last unanswered question's key lookup until a server answers."""
        while self._down and not self._closed:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.ask(Question(self._lost_key, ("EXISTS", self._lost_key), "check", writes=False))
            except StoreError:
                continue
            if self._down:
                # The failed server does not come back if another one took over its slots.
                self._came_back(set(self._down))
        self._prober = None
