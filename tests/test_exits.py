"""Nothing is printed when an interpreter ends, however it does and whatever is open then. In processes of their own, warnings as errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from aioreq.testing import Server, httpbin

pytestmark = pytest.mark.no_loop

PRELUDE = """
    import asyncio, logging, os, signal, sys, threading, time
    import aioreq
    # -X dev has the loops report each slow step, which tells of a busy machine alone.
    logging.getLogger("asyncio").addFilter(lambda record: record.msg != "Executing %s took %.3f seconds")
    if LOOP == "uvloop":
        import uvloop
        new_loop = uvloop.new_event_loop
    else:
        new_loop = asyncio.new_event_loop
    client = aioreq.Client(verify=CA or True, retry=0)

    async def get(path="/get"):
        return (await client.get(URL + path)).status

    async def several():
        assert await asyncio.gather(get(), get(), get()) == [200] * 3

    def run(coroutine):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(coroutine)
"""

# What is left open when the interpreter ends; the last line of each is reached, or nothing is proven.
SILENT = {
    "a client that nobody closed": """
        run(several())
        print("end")
    """,
    "a client that nobody closed, used on one loop after another": """
        run(several())
        run(several())
        print("end")
    """,
    "a request under way": """
        async def main():
            await several()
            asyncio.ensure_future(get("/delay/30"))
            await asyncio.sleep(0.05)
        run(main())
        print("end")
    """,
    "an exit in a coroutine, with requests under way": """
        async def main():
            await several()
            asyncio.ensure_future(get("/delay/30"))
            await asyncio.sleep(0.05)
            print("end")
            sys.exit()
        run(main())
    """,
    "streams that somebody still holds": """
        async def main():
            global held, iterator
            held = await client.stream("GET", URL + "/bytes/1000000").__aenter__()
            other = await client.stream("GET", URL + "/bytes/1000000").__aenter__()
            iterator = other.content
            await anext(iterator)
        run(main())
        print("end")
    """,
    "a call asleep before another attempt": """
        async def main():
            retry = aioreq.Retry(attempts=3, backoff=100, max_wait=100)
            asyncio.ensure_future(client.get("http://127.0.0.1:1/", retry=retry))
            await asyncio.sleep(0.05)
        run(main())
        print("end")
    """,
    "a daemon thread whose loop idles": """
        ready = threading.Event()
        def live():
            loop = new_loop()
            loop.run_until_complete(several())
            loop.call_soon(ready.set)
            loop.run_forever()
        threading.Thread(target=live, daemon=True).start()
        ready.wait()
        print("end")
    """,
    "a daemon thread whose loop is busy": """
        ready = threading.Event()
        async def busy():
            while True:
                await several()
                ready.set()
        threading.Thread(target=lambda: run(busy()), daemon=True).start()
        ready.wait()
        time.sleep(0.05)
        print("end")
    """,
    "threads of which each has a loop": """
        threads = [threading.Thread(target=lambda: run(several())) for _ in range(4)]
        for thread in threads:
            thread.start()
        run(several())
        for thread in threads:
            thread.join()
        print("end")
    """,
    "a client closed from another thread's loop": """
        ready, over = threading.Event(), threading.Event()
        async def live():
            await several()
            ready.set()
            try:
                await get("/delay/30")
            except aioreq.ClientClosed:
                over.set()
        thread = threading.Thread(target=lambda: run(live()))
        thread.start()
        ready.wait()
        run(client.close(wait=0.05))
        thread.join()
        assert over.is_set()
        print("end")
    """,
    "a terminated service": """
        async def main():
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            await several()
            asyncio.ensure_future(get("/delay/30"))
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
        run(main())
        print("end")
    """,
    "the verbs for scripts, in threads": """
        def ask():
            aioreq.get(URL + "/get", verify=CA or True)
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        threading.Thread(target=lambda: aioreq.get(URL + "/delay/30", verify=CA or True), daemon=True).start()
        time.sleep(0.05)
        print("end")
    """,
}


@pytest.fixture(params=["plain", "tls"])
def remote(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(routes=httpbin, tls=request.param == "tls") as server:
        yield server


def command(script: str, server: Server, loop: str) -> list[str]:
    constants = f"URL, CA, LOOP = {server.url!r}, {server.ca!r}, {loop!r}\n"
    return [sys.executable, "-X", "dev", "-W", "error", "-c", constants + textwrap.dedent(PRELUDE) + textwrap.dedent(script)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONASYNCIODEBUG", "PYTHONWARNINGS")}


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.mark.parametrize("script", SILENT.values(), ids=[name.replace(" ", "-") for name in SILENT])
def test_an_interpreter_ends_in_silence(remote: Server, loop: str, script: str) -> None:
    done = subprocess.run(command(script, remote, loop), capture_output=True, text=True, timeout=60, env=environment(), check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)


def test_an_interrupt_prints_itself_alone(remote: Server, loop: str) -> None:
    script = """
        async def main():
            await several()
            asyncio.ensure_future(get("/delay/30"))
            await asyncio.sleep(0.05)
            print("ready", flush=True)
            await get("/delay/30")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
        run(main())
    """
    with subprocess.Popen(
        command(script, remote, loop), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    # One traceback, of the interrupt and of what it interrupted.
    assert printed.splitlines()[-1] == "KeyboardInterrupt"
    for noise in ("Warning", "never", "Exception ignored", "unclosed", "destroyed", "Fatal"):
        assert noise not in printed
