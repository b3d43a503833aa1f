"""The pipeline to one Redis server: questions that wait for it are sent together, and none waits long."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from provider.errors import StoreError
from provider.redis.connection import Command, NodeConnection, Reply
from provider.redis.errors import NoRoute, error_code, reason_of

MAX_GROUP = 512
# Beyond this, Redis is too slow for the load, and waiting would only delay everybody.
MAX_WAITING = 10_000
# After a failure, nothing is sent for this long: questions fail at once instead of one timeout later.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
# The server became a replica, is loading, or lost its cluster: another server may have the answer by now.
LOST = frozenset({"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOAUTH"})
Operation = Literal["nonce", "revocation", "facts", "leases", "limits", "quotas", "check"]


@dataclass(frozen=True, slots=True)
class Question:
    """One command for the server that holds `key`.

    `operation`: the purpose, as a metric label.
    `in_full`: the command to send if the server does not know the script.
    `writes`: False if no replica has to acknowledge it.
    """

    key: str
    command: Command
    operation: Operation
    in_full: Command | None = None
    writes: bool = True


@dataclass(slots=True, eq=False)
class Job:
    """A question in progress. `asking`: it goes to a server that is still importing the key's slot."""

    question: Question
    reply: "asyncio.Future[Reply]"
    redirected: bool = False
    asking: bool = False

    def fail(self, detail: str) -> None:
        """End it with a StoreError, unless nobody waits for it any more."""
        if not self.reply.done():
            self.reply.set_exception(StoreError(detail=detail))


class Pipeline:
    """Sends one batch at a time. The time limit of a batch covers everything from connecting to the last reply.

    `answered`: called with each job and its reply.
    `changed`: called with the reason when the server fails, and with None after each batch that it answered.
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
        """Accept a job. It fails at once while the server is unreachable or too far behind."""
        if time.monotonic() < self._down_until:
            job.fail(self._reason)
        elif len(self._waiting) >= MAX_WAITING:
            job.fail(f"{MAX_WAITING} questions are waiting already")
        else:
            self._waiting.append(job)
            if self._sender is None:
                self._sender = asyncio.get_running_loop().create_task(self._send())

    async def finish(self) -> bool:
        """Wait for the questions asked so far; return False if there were none."""
        if self._sender is None:
            return False
        await asyncio.wait([self._sender])
        return True

    async def close(self) -> None:
        """Close the connection. Call `finish` first."""
        await self._node.close()

    async def _send(self) -> None:
        try:
            while self._waiting:
                jobs, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._answer(jobs)
        finally:
            self._sender = None
            _fail(self._waiting, "the connection was abandoned")
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
            # Also after a defect of ours: nobody may wait for ever.
            _fail(jobs, "the connection was abandoned")
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
            # None of these ran yet, so their order is kept.
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
            # A little less than our own limit, so that missing replicas are not mistaken for a silent server.
            sent.append(("WAIT", self._wait_replicas, int(self._timeout_seconds * 800)))
        replies = await self._node.exchange(sent)
        answers = [replies[place] for place in places]
        for answer in answers:
            if error_code(answer) in LOST:
                await self._node.close()
                raise NoRoute(reason_of(answer, self._timeout_seconds))
        if waits and not (isinstance(replies[-1], int) and replies[-1] >= self._wait_replicas):
            raise NoRoute("too few replicas acknowledged the write")
        return answers

    def _failed(self, reason: str) -> None:
        self._pause_seconds = min(self._pause_seconds * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._down_until = time.monotonic() + self._pause_seconds
        self._reason = reason
        self._changed(reason)


def foreseen_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that a server, or the way to it, can cause. TimeoutError is an OSError."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    return NoRoute, RedisError, OSError


def _fail(jobs: Iterable[Job], detail: str) -> None:
    for job in jobs:
        job.fail(detail)
