"""Pipes are few: taken, given back empty, never used again with bytes in them, done without when refused."""

import errno
import os
from contextlib import suppress

import pytest

from provider.streaming import pipes
from provider.streaming.pipes import PIPE_BYTES, Pipe, PipePool

SIZE = 1 << 16


class Clock:
    """Seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def open_pipes() -> int:
    """Descriptors of pipes. Threads of other tests may open and close other ones at any moment."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
    return found


def test_a_pipe_has_the_size_asked_for() -> None:
    pipe = Pipe(PIPE_BYTES)
    try:
        assert os.write(pipe.source, bytes(PIPE_BYTES)) == PIPE_BYTES
        with pytest.raises(BlockingIOError):
            os.write(pipe.source, b"x")
        assert len(os.read(pipe.sink, PIPE_BYTES)) == PIPE_BYTES
        assert not os.get_inheritable(pipe.sink)
        assert not os.get_inheritable(pipe.source)
    finally:
        pipe.close()


def test_an_empty_pipe_is_used_again() -> None:
    pool = PipePool(pipe_bytes=SIZE)
    first = pool.take()
    assert first is not None
    pool.give(first)
    assert pool.take() is first
    assert (pool.opened, pool.taken) == (1, 1)
    pool.drop(first)


def test_a_pipe_with_bytes_in_it_is_closed() -> None:
    before = open_pipes()
    pool = PipePool(pipe_bytes=SIZE)
    dirty = pool.take()
    assert dirty is not None
    os.write(dirty.source, b"somebody's")
    pool.drop(dirty)
    assert (pool.opened, pool.taken, open_pipes()) == (0, 0, before)
    fresh = pool.take()
    assert fresh is not None
    with pytest.raises(BlockingIOError):
        os.read(fresh.sink, 1)
    pool.drop(fresh)


def test_there_are_never_more_than_the_cap() -> None:
    pool = PipePool(max_pipes=2, pipe_bytes=SIZE)
    taken = [pool.take(), pool.take()]
    assert pool.take() is None
    pool.give(taken.pop())
    assert pool.take() is not None
    pool.close()


def test_a_cap_of_zero_means_none_at_all() -> None:
    pool = PipePool(max_pipes=0)
    assert not pool.usable
    assert pool.take() is None


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMFILE, errno.ENFILE])
def test_a_refusal_leaves_nothing_behind_and_is_not_asked_again_at_once(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(descriptor: int, size_bytes: int) -> int:
        asked.append(size_bytes)
        raise OSError(number, "refused")

    before, clock = open_pipes(), Clock()
    pool = PipePool(pipe_bytes=SIZE, clock=clock)
    with monkeypatch.context() as patched:
        patched.setattr(pipes, "set_pipe_size", refuse)
        assert pool.take() is None
        assert pool.take() is None
    assert (asked, open_pipes(), pool.taken) == ([SIZE], before, 0)
    assert pool.usable
    clock.now += 2
    pipe = pool.take()
    assert pipe is not None
    pool.drop(pipe)


def test_a_pipe_that_stays_small_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_pipes()
    monkeypatch.setattr(pipes, "set_pipe_size", lambda descriptor, size_bytes: 8192)
    assert PipePool(pipe_bytes=SIZE).take() is None
    assert open_pipes() == before


def test_refused_descriptors_are_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe2", refuse)
    assert PipePool().take() is None


def test_a_mistake_is_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, size_bytes: int) -> int:
        raise OSError(errno.EBADF, "bad descriptor")

    monkeypatch.setattr(pipes, "set_pipe_size", fail)
    with pytest.raises(OSError, match="bad descriptor"):
        PipePool().take()


def test_a_disabled_pool_has_none_and_still_takes_back() -> None:
    before = open_pipes()
    pool = PipePool(pipe_bytes=SIZE)
    held, idle = pool.take(), pool.take()
    assert held is not None
    assert idle is not None
    pool.give(idle)
    pool.disable()
    assert not pool.usable
    assert pool.take() is None
    pool.give(held)
    assert (pool.taken, open_pipes()) == (0, before)


@pytest.mark.skipif(os.geteuid() == 0, reason="the limit is for unprivileged users")
def test_the_users_own_limit_is_met_and_survived() -> None:
    """`pipe-user-pages-soft`: 64 pipes of 1 MiB, less what the user has open elsewhere."""
    pool = PipePool(max_pipes=80)
    taken = [pipe for pipe in (pool.take() for _ in range(80)) if pipe is not None]
    try:
        assert 1 <= len(taken) <= 64
        assert pool.take() is None
    finally:
        for pipe in taken:
            pool.drop(pipe)
