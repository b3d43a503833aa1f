"""Runs a blocking call in a thread of its own. There is no pool, so no call waits for another."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


def run_in_own_thread(
    work: Callable[[], Result], *, name: str, ended: Callable[[], None] = lambda: None
) -> "asyncio.Future[Result]":
    """Call `work` in a new daemon thread and return a future of its result.

    Cancelling the future does not stop `work`. The process may exit before the thread ends. The future fails with
    OSError if the system cannot start a thread.

    Args:
        work: the call.
        name: of the thread.
        ended: called on the event loop when `work` has really ended, so that a caller can count running threads.
    """
    loop = asyncio.get_running_loop()
    outcome: Future[Result] = Future()
    # Running from the start, so that cancelling a waiter does not cancel it.
    outcome.set_running_or_notify_cancel()
    waiting = asyncio.wrap_future(outcome)

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is the caller who handles it
            outcome.set_exception(error)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(ended)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        outcome.set_exception(OSError(str(error)))
        ended()
    return waiting
