"""Functions run off the loop's thread: results, errors, cancellation, bounds, and silence at the end."""

import asyncio
import contextvars
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from aioreq import threads


@pytest.fixture(autouse=True)
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[threads._Crew]:
    """A crew for this test alone, whose threads end at once when it is over."""
    crew = threads._Crew()
    monkeypatch.setattr(threads, "_crew", crew)
    yield crew
    monkeypatch.setattr(threads, "_IDLE", 0.0)
    with crew._changed:
        crew._changed.notify_all()


def wait_until(condition: Callable[[], bool]) -> None:
    """Let other threads work until the condition holds."""
    while not condition():
        time.sleep(0)


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_result_comes_from_another_thread() -> None:
    name, daemon = await threads.run(lambda: (threading.current_thread().name, threading.current_thread().daemon))
    assert (name, daemon) == ("aioreq-worker", True)
    assert await threads.run(divmod, 7, 2) == (3, 1)
    got: list[int] = []
    await threads.run(got.append, 1)
    assert got == [1]


async def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "x")
    with pytest.raises(asyncio.CancelledError):
        await threads.run(raiser, asyncio.CancelledError())


def raiser(error: BaseException) -> None:
    raise error


async def test_stop_iteration() -> None:
    # No coroutine can raise one: it comes as Python's own RuntimeError, and nothing hangs.
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        await threads.run(next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_reaches_who_awaits(kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        await threads.run(raiser, kind())
    assert await threads.run(int, "1") == 1  # the thread lives on


async def test_the_context_is_the_callers() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")
    assert await threads.run(variable.get) == "mine"
    await threads.run(variable.set, "theirs")
    assert variable.get() == "mine"


async def test_an_idle_thread_is_used_again(crew: threads._Crew) -> None:
    first = await threads.run(threading.get_ident)
    wait_until(lambda: crew._idle == 1)
    assert await threads.run(threading.get_ident) == first
    assert crew._threads == 1


async def test_16_threads_and_a_queue(crew: threads._Crew) -> None:
    all_run = asyncio.Event()
    loop = asyncio.get_running_loop()
    go = threading.Event()
    lock = threading.Lock()
    running = most = 0

    def work(n: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 16:
                loop.call_soon_threadsafe(all_run.set)
        go.wait()
        with lock:
            running -= 1
        return n

    tasks = [asyncio.create_task(threads.run(work, n)) for n in range(40)]
    await all_run.wait()
    assert (crew._threads, len(crew._jobs)) == (16, 24)
    go.set()
    assert await asyncio.gather(*tasks) == list(range(40))
    assert most == 16


async def test_threads_end_when_idle(crew: threads._Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE", 0.0)
    for _ in range(3):
        thread = await threads.run(threading.current_thread)
        thread.join(30)
        assert not thread.is_alive()
        assert (crew._threads, crew._idle) == (0, 0)


async def test_jobs_are_not_lost_while_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE", 0.0001)
    for n in range(500):
        assert await threads.run(abs, -n) == n
        if n % 7 == 0:
            await asyncio.sleep(0.0001)


async def test_a_cancelled_caller_drops_the_result_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    started, go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait()
        done.set()
        raise ValueError("nobody wants to know")

    with caplog.at_level(logging.DEBUG, "asyncio"):
        task = asyncio.create_task(threads.run(work))
        await asyncio.sleep(0)
        started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        done.wait()
        await threads.run(int)  # the same thread's next result comes behind that one
        gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_cancelled_in_the_tick_of_an_error(caplog: pytest.LogCaptureFixture) -> None:
    # The result is there already when the caller is cancelled: no "exception was never retrieved".
    with caplog.at_level(logging.WARNING, "asyncio"):
        task = asyncio.create_task(threads.run(int, "x"))
        await asyncio.sleep(0)
        future = task._fut_waiter  # type: ignore[attr-defined]
        future.add_done_callback(lambda _: task.cancel())
        with pytest.raises((asyncio.CancelledError, ValueError)):
            await task
        del future
        gc.collect()
    assert caplog.records == []


async def test_a_job_of_a_cancelled_caller_never_starts(crew: threads._Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_MOST", 1)
    go = threading.Event()
    ran: list[int] = []
    first = asyncio.create_task(threads.run(go.wait))
    second = asyncio.create_task(threads.run(ran.append, 2))
    third = asyncio.create_task(threads.run(ran.append, 3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, third)
    assert ran == [3]


async def test_an_idle_thread_keeps_nothing_alive(crew: threads._Crew) -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    assert await threads.run(id, thing) == id(thing)
    del thing
    wait_until(lambda: crew._idle == 1)
    assert gone() is None


async def test_an_error_leaves_no_cycle() -> None:
    class NoticedError(Exception):
        pass

    def fail() -> None:
        raise NoticedError

    gc.disable()
    try:
        try:
            await threads.run(fail)
        except NoticedError as error:
            gone = weakref.ref(error)
        await threads.run(int)  # a thread forgets its last job at the next one, at the latest
        assert gone() is None
    finally:
        gc.enable()


def test_a_finished_loop_is_tolerated(crew: threads._Crew) -> None:
    started, go = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait()

    async def main() -> None:
        task = asyncio.ensure_future(threads.run(work))
        await asyncio.sleep(0)
        started.wait()
        task.cancel()

    asyncio.run(main())
    go.set()

    async def again() -> int:
        return await threads.run(int, "3")

    assert asyncio.run(again()) == 3
    assert crew._threads <= 2


async def test_no_thread_can_be_started(crew: threads._Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    go = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await threads.run(int, "1")
        assert not crew._jobs
    first = asyncio.create_task(threads.run(go.wait))
    await asyncio.sleep(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = asyncio.create_task(threads.run(int, "2"))
        await asyncio.sleep(0)
    go.set()
    await first
    assert await second == 2  # the one thread there was took it


def test_nothing_hangs_or_prints_at_exit() -> None:
    done = run_script(
        "import asyncio, time\n"
        "from aioreq import threads\n"
        "async def main():\n"
        "    tasks = [asyncio.ensure_future(threads.run(time.sleep, 3600)) for _ in range(20)]\n"
        "    await asyncio.sleep(0)\n"
        "    print(len(tasks), threads._crew._threads)\n"
        "asyncio.run(main())\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "20 16\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_anew() -> None:
    done = run_script(
        "import asyncio, os, threading, warnings\n"
        "from aioreq import threads\n"
        "warnings.simplefilter('ignore')\n"  # 3.12 and later warn of any fork beside threads
        "def run(*job): return asyncio.run(threads.run(*job))\n"
        "assert run(abs, -1) == 1\n"
        "threads._crew._changed.acquire()\n"  # another thread's lock, held while the process forks
        "if (child := os.fork()) == 0:\n"
        "    os._exit(run(abs, -7))\n"
        "threads._crew._changed.release()\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), run(abs, -2))\n"
    )
    assert (done.stdout, done.stderr) == ("7 2\n", "")
