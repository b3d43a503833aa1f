"""A blocking call in a thread of its own: no pool, so no call waits for another one."""

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
    """The result of `work`, called in a daemon thread that ends with it.

    Cancelling the future does not stop `work`. `ended` is called on the event loop when `work` has really ended, so a
    caller can count what still runs. The end of the process does not wait for the thread. The future's error is
    OSError when the system gives no thread.
    """
    loop = asyncio.get_running_loop()
    outcome: Future[Result] = Future()
    # Running from the start: a waiter that is cancelled leaves it as it is.
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
