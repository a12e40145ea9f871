"""The verbs for plain scripts: in scripts, in threads, inside a loop, after a fork, under Ctrl-C, and in silence at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import aioreq
from aioreq import sync
from aioreq.testing import Server, Stall, httpbin

# What is run in a process of its own must be as silent as its tests are strict.
STRICT = [sys.executable, "-X", "dev", "-W", "error"]
SECONDS = 30  # until a process that hangs fails its test


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(routes=httpbin) as server:
        yield server


def run(script: str, *arguments: str) -> str:
    """What a script prints; it prints nothing to stderr, and succeeds."""
    done = subprocess.run([*STRICT, "-c", script, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("verb", ["get", "head", "post", "put", "patch", "delete", "options"])
def test_verbs(server: Server, verb: str) -> None:
    response = getattr(aioreq, verb)(server.url + "/anything", headers={"X-A": "1"})
    assert isinstance(response, aioreq.Response)
    assert response.status == 200
    assert (server.requests[-1].method, server.requests[-1].header("x-a")) == (verb.upper(), "1")
    assert response.elapsed > 0


def test_options_and_errors_are_the_clients(server: Server) -> None:
    assert aioreq.request("PROPFIND", server.url + "/anything", json=None, params={"a": 1}).json()["body"] == "null"
    assert len(aioreq.get(server.url + "/redirect/2").redirects) == 2
    with pytest.raises(aioreq.StatusError) as caught:
        aioreq.get(server.url + "/status/404", raise_for_status=True)
    assert caught.value.request is not None
    with pytest.raises(aioreq.InvalidURL, match="has no scheme"):
        aioreq.get("www.google.com")
    with pytest.raises(aioreq.TotalTimeout):
        aioreq.get(server.url + "/delay/60", timeout=0.05)
    with pytest.raises(aioreq.ConnectError):
        aioreq.get("http://127.0.0.1:1/", retry=0)
    with pytest.raises(TypeError, match="takes no parms"):
        aioreq.get(server.url, parms={})  # type: ignore[call-arg]


def test_connections_are_kept_and_cookies_are_not(server: Server) -> None:
    assert aioreq.get(server.url + "/cookies/set?a=1").json() == {"cookies": {"a": "1"}}
    assert aioreq.get(server.url + "/cookies").json() == {"cookies": {}}
    assert server.accepted == 1


def test_threads(server: Server) -> None:
    start = threading.Barrier(8)

    def call(n: int) -> str:
        start.wait(SECONDS)
        return aioreq.get(f"{server.url}/id/{n}", cookies={"n": str(n)}).text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [str(n) for n in range(8)]


async def test_inside_a_running_loop_it_blocks_that_loop(server: Server) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    before = ticks
    assert aioreq.get(server.url + "/delay/0.02").status == 200
    assert ticks == before
    ticker.cancel()
    async with aioreq.Client() as client:  # the loop is none the worse
        assert (await client.get(server.url + "/get")).status == 200


def test_from_its_own_loop_it_would_wait_for_itself(server: Server) -> None:
    aioreq.get(server.url + "/get")

    async def call() -> aioreq.Response:
        return aioreq.get(server.url + "/get")

    background = sync._current()
    with pytest.raises(RuntimeError, match="would wait for itself: use the asynchronous Client"):
        asyncio.run_coroutine_threadsafe(call(), background.loop).result(SECONDS)


def test_a_script_leaves_nothing_to_complain_about(server: Server) -> None:
    script = """
import sys, aioreq
print(aioreq.get(sys.argv[1] + "/get").status, len(aioreq.get(sys.argv[1] + "/bytes/300000").content))
"""
    assert run(script, server.url) == "200 300000\n"
    server.wait(lambda: not server.connections)


def test_a_script_that_fails_or_leaves_a_thread_behind(server: Server) -> None:
    script = """
import sys, threading, aioreq
threading.Thread(target=aioreq.get, args=(sys.argv[1] + "/get",)).start()
threading.Thread(target=aioreq.get, args=(sys.argv[1] + "/delay/60",), daemon=True).start()
try:
    aioreq.get(sys.argv[1] + "/delay/60", timeout=0.3)
except aioreq.RequestTimeout as error:
    print(type(error).__name__)
"""
    done = subprocess.run([*STRICT, "-c", script, server.url], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "TotalTimeout\n", "")


def test_importing_starts_no_thread() -> None:
    assert run("import aioreq.sync, threading; print(threading.active_count())") == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_fork_the_child_has_a_loop_of_its_own(server: Server) -> None:
    # -W error but for what Python 3.12 and later say of any fork in a process with threads.
    script = """
import os, sys, warnings, aioreq
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
url = sys.argv[1]
before = aioreq.get(url + "/id/before").text
child = os.fork()
if not child:
    print(aioreq.get(url + "/id/child").text, flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(before, aioreq.get(url + "/id/parent").text)
"""
    assert run(script, server.url) == "child\nbefore parent\n"
    connections = {request.path: request.connection for request in server.requests}
    assert connections["/id/before"] == connections["/id/parent"] != connections["/id/child"]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_cancels(server: Server) -> None:
    script = """
import signal, sys, aioreq
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    aioreq.get(sys.argv[1] + "/stall")
except KeyboardInterrupt:
    print("interrupted", aioreq.get(sys.argv[1] + "/get").status)
"""
    server.script(Stall(), path="/stall")
    process = subprocess.Popen(
        [*STRICT, "-c", script, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        server.wait(lambda: bool(server.requests), seconds=SECONDS)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "interrupted 200\n", "")
    assert [request.path for request in server.requests] == ["/stall", "/get"]
