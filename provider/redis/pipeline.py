"""The way to one Redis server: what waits when the server becomes free goes out together, and nothing waits long."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from provider.errors import StoreError
from provider.redis.connection import Command, NodeConnection, Reply
from provider.redis.errors import NoRoute, error_code, reason_of

MAX_GROUP = 512
# Beyond that Redis is too slow for what is asked of it, and waiting would only make everybody late.
MAX_WAITING = 10_000
# After a failure nothing is sent for so long: those who ask are refused at once instead of one timeout later.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
# A server that was made a replica, is loading or lost its cluster: the answer may be elsewhere by now.
LOST = frozenset({"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOAUTH"})
Operation = Literal["nonce", "revocation", "facts", "leases", "limits", "check"]


@dataclass(frozen=True, slots=True)
class Question:
    """One command for the server that has `key`. `in_full`: what to send where a script is not known.

    `operation`: what it is for, as metrics name it. `writes` False: replicas need not be waited for.
    """

    key: str
    command: Command
    operation: Operation
    in_full: Command | None = None
    writes: bool = True


@dataclass(slots=True, eq=False)
class Job:
    """A question under way. `asking`: it goes to a server that is only just receiving the key."""

    question: Question
    reply: "asyncio.Future[Reply]"
    redirected: bool = False
    asking: bool = False

    def fail(self, detail: str) -> None:
        """End it with a StoreError, unless nobody waits for it any longer."""
        if not self.reply.done():
            self.reply.set_exception(StoreError(detail=detail))


class Pipeline:
    """One batch is under way at a time; its time limit runs from connecting to the last reply.

    `answered` takes each job with its reply; `changed` is told why the server is given up, and None after each batch
    that it has answered.
    """

    def __init__(
        self,
        node: NodeConnection,
        *,
        timeout_seconds: float,
        wait_replicas: int,
        answered: Callable[[Job, Reply], None],
        changed: Callable[[str | None], None],
    ) -> None:
        self._node = node
        self._timeout_seconds = timeout_seconds
        self._wait_replicas = wait_replicas
        self._answered = answered
        self._changed = changed
        self._waiting: list[Job] = []
        self._sender: asyncio.Task[None] | None = None
        self._pause_seconds = 0.0
        self._down_until = 0.0
        self._reason = ""

    def put(self, job: Job) -> None:
        """Take a job; it fails at once while the server is given up or far behind."""
        if time.monotonic() < self._down_until:
            job.fail(self._reason)
        elif len(self._waiting) >= MAX_WAITING:
            job.fail(f"{MAX_WAITING} questions wait already")
        else:
            self._waiting.append(job)
            if self._sender is None:
                self._sender = asyncio.get_running_loop().create_task(self._send())

    async def finish(self) -> bool:
        """Wait for what was asked before; False when there was nothing."""
        if self._sender is None:
            return False
        await asyncio.wait([self._sender])
        return True

    async def close(self) -> None:
        """Close the connection; `finish` comes before."""
        await self._node.close()

    async def _send(self) -> None:
        try:
            while self._waiting:
                jobs, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._answer(jobs)
        finally:
            self._sender = None
            _fail(self._waiting, "the connection was given up")
            self._waiting.clear()

    async def _answer(self, jobs: Sequence[Job]) -> None:
        if time.monotonic() < self._down_until:
            _fail(jobs, self._reason)
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                replies = await self._replies(jobs)
        except foreseen_errors() as error:
            self._failed(reason_of(error, self._timeout_seconds))
            _fail(jobs, self._reason)
            return
        except BaseException:
            # Also for a defect: nobody may wait for ever.
            _fail(jobs, "the connection was given up")
            raise
        self._pause_seconds = 0.0
        self._changed(None)
        for job, reply in zip(jobs, replies, strict=True):
            self._answered(job, reply)

    async def _replies(self, jobs: Sequence[Job]) -> list[Reply]:
        replies = await self._converse(jobs, [job.question.command for job in jobs])
        unknown = [
            number
            for number, (job, reply) in enumerate(zip(jobs, replies, strict=True))
            if job.question.in_full is not None and error_code(reply) == "NOSCRIPT"
        ]
        if unknown:
            # None of these ran, so that their order among each other is kept.
            commands = [jobs[number].question.in_full or () for number in unknown]
            in_full = await self._converse([jobs[number] for number in unknown], commands)
            for number, reply in zip(unknown, in_full, strict=True):
                replies[number] = reply
        return replies

    async def _converse(self, jobs: Sequence[Job], commands: Sequence[Command]) -> list[Reply]:
        sent: list[Command] = []
        places: list[int] = []
        for job, command in zip(jobs, commands, strict=True):
            if job.asking:
                sent.append(("ASKING",))
            places.append(len(sent))
            sent.append(command)
        waits = bool(self._wait_replicas) and any(job.question.writes for job in jobs)
        if waits:
            # A little less than our own limit, so that too few replicas are not taken for a silent server.
            sent.append(("WAIT", self._wait_replicas, int(self._timeout_seconds * 800)))
        replies = await self._node.exchange(sent)
        answers = [replies[place] for place in places]
        for answer in answers:
            if error_code(answer) in LOST:
                await self._node.close()
                raise NoRoute(reason_of(answer, self._timeout_seconds))
        if waits and not (isinstance(replies[-1], int) and replies[-1] >= self._wait_replicas):
            raise NoRoute("too few replicas have got what was written")
        return answers

    def _failed(self, reason: str) -> None:
        self._pause_seconds = min(self._pause_seconds * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._down_until = time.monotonic() + self._pause_seconds
        self._reason = reason
        self._changed(reason)


def foreseen_errors() -> tuple[type[BaseException], ...]:
    """What a server and the way to it can do to us. TimeoutError is an OSError."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    return NoRoute, RedisError, OSError


def _fail(jobs: Iterable[Job], detail: str) -> None:
    for job in jobs:
        job.fail(detail)
