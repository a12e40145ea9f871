"""Runs a blocking function off the event loop: name lookups, large decodings, files read for an upload.

Never the loop's default executor: the loop joins that one when it closes, and the interpreter at exit, so one stuck name lookup would
hang the program. These are daemon threads of our own; nobody waits for them. What they run, they don't know.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["run"]

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")

# Enough for what waits on disks and name servers; more threads would only take turns at the interpreter lock.
_MOST = 16
# Seconds after which a thread without work ends.
_IDLE = 10.0


class _Crew:
    """At most `_MOST` threads and one queue; a thread is started only when no idle one is left for a job."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._jobs.append(job)
            if len(self._jobs) <= self._idle:
                self._changed.notify()
            elif self._threads < _MOST:
                try:
                    threading.Thread(target=self._work, name="aioreq-worker", daemon=True).start()
                except BaseException:
                    # No more threads on this machine: those that run take the job in turn, if there are any.
                    if not self._threads:
                        self._jobs.pop()
                        raise
                else:
                    self._threads += 1

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            # While this thread idles, nothing may keep the job's arguments alive.
            del job

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            if not self._jobs:
                self._changed.wait_for(lambda: self._jobs, _IDLE)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None


_crew = _Crew()


def _reset() -> None:
    # A forked child has none of the threads, and perhaps a lock that one of them held.
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)


async def run(function: Callable[[*_Args], _Result], *args: *_Args) -> _Result:
    """What `function(*args)` returns, run in a thread, in a copy of the caller's context; what it raises is raised here.

    A cancelled caller stops waiting at once: a function that hasn't started won't, one that runs goes on, and what comes of it is
    dropped.
    """
    loop = asyncio.get_running_loop()
    # The future carries an exception as a plain value: one that nobody waits for any longer must not be reported as unhandled.
    future: asyncio.Future[list[Any]] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: _Result | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_result([result, error])

    def job() -> None:
        if future.done():
            return
        result: _Result | None = None
        error: BaseException | None = None
        try:
            result = context.run(function, *args)
        except BaseException as raised:  # KeyboardInterrupt and SystemExit too: they belong to whoever awaits, not to this thread
            error = raised
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:
            pass  # the loop was closed meanwhile
        finally:
            # The error's traceback holds this frame and that of run(): neither, nor the future, may hold the error for good.
            del error

    _crew.submit(job)
    outcome = await future
    error: BaseException | None = outcome.pop()
    result: _Result = outcome.pop()
    if error is None:
        return result
    try:
        raise error
    finally:
        del error
