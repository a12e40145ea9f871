"""A body of kilobytes that unfolds to 512 MiB costs little memory, whatever becomes of it: a client in a process of its own is weighed."""

from __future__ import annotations

import gzip
import itertools
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
from bombs import MIB, SIZES, bomb

from aioreq.testing import Reply, Server

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = [
    pytest.mark.no_loop,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc"),
]

# The window that a coding may need, beside which nothing may grow: 8 MiB of zstd (RFC 9659), 16 MiB of br (RFC 7932), 32 KiB of gzip.
WINDOWS = {"br": 16 * MIB, "zstd": 8 * MIB}

CLIENT = """
import asyncio, ctypes, gc, sys

url, package, loop = sys.argv[1:]
if package == "zlib":
    sys.modules["zlib_ng.zlib_ng"] = None
import aioreq
from aioreq import encodings

WAYS = {}
# What was freed goes back to the system (glibc keeps it), so that each way is weighed by itself.
give_back = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024

def way(function):
    WAYS[function.__name__] = function

@way
async def read(client):
    try:
        await client.get(url + "/bomb")
    except aioreq.LimitExceeded as error:
        return error.limit

@way
async def read_an_error(client):
    try:
        await client.get(url + "/bomb/500")
    except aioreq.LimitExceeded as error:
        return error.limit

@way
async def read_up_to_a_limit(client):
    async with aioreq.Client(limits=aioreq.Limits(ratio=10**9, body=4_000_000)) as client:
        try:
            await client.get(url + "/bomb")
        except aioreq.LimitExceeded as error:
            return error.limit

@way
async def streamed(client):
    size = 0
    async with aioreq.Client(limits=aioreq.Limits(ratio=10**9)) as client, client.stream("GET", url + "/bomb") as response:
        async for piece in response.content:
            size += len(piece)
    return size

@way
async def streamed_with_a_limit(client):
    size = 0
    try:
        async with client.stream("GET", url + "/bomb") as response:
            async for piece in response.content:
                size += len(piece)
    except aioreq.LimitExceeded as error:
        return size < 64_000_000 and error.limit

@way
async def redirected(client):
    return (await client.get(url + "/bomb/302")).text

@way
async def retried(client):
    async with aioreq.Client(retry=aioreq.Retry(statuses=(503,), backoff=0)) as client:
        return (await client.get(url + "/busy")).text

@way
async def closed(client):
    async with client.stream("GET", url + "/bomb") as response:
        await anext(response.content)
        await response.close()
    async with client.stream("GET", url + "/bomb") as response:
        return response.status

@way
async def told_as_a_status(client):
    try:
        async with client.stream("GET", url + "/bomb/500") as response:
            await response.raise_for_status()
    except aioreq.StatusError as error:
        return len(error.response.content) <= 65536 and error.response.status

async def main():
    async with aioreq.Client() as client:
        assert (await client.get(url + "/small")).text == "small"
        assert encodings._zlib().__name__ == package
        for name, run in WAYS.items():
            gc.collect()
            give_back(0)
            before = memory("VmRSS")
            with open("/proc/self/clear_refs", "w") as peak:
                peak.write("5")
            print(name, await run(client), memory("VmHWM") - before, sep=": ")

if loop == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""

TOLD = {
    "read": "ratio",
    "read_an_error": "ratio",
    "read_up_to_a_limit": "body",
    "streamed": str(512 * MIB),
    "streamed_with_a_limit": "ratio",
    "redirected": "here",
    "retried": "here",
    "closed": "200",
    "told_as_a_status": "500",
}


def small(coding: str) -> bytes:
    if coding == "gzip, gzip":
        return gzip.compress(gzip.compress(b"small"))
    compress: Callable[[bytes], bytes] = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress}[
        coding
    ]
    return compress(b"small")


def busy(answer: Reply) -> Callable[[object], Reply]:
    """Twice this answer, then another, and so on."""
    answers = itertools.cycle([answer, answer, Reply(200, (), "here")])
    return lambda request: next(answers)


@pytest.fixture(scope="module", params=list(SIZES))
def bombed(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A coding, and the URL of a server whose bodies are bombs of it."""
    coding = request.param
    assert len(bomb(coding)) <= SIZES[coding]
    fields = [("Content-Encoding", coding)]
    with Server(record=False) as server:
        server.route("/bomb", Reply(200, fields, bomb(coding)))
        server.route("/bomb/500", Reply(500, fields, bomb(coding)))
        server.route("/bomb/302", Reply(302, [*fields, ("Location", "/here")], bomb(coding)))
        server.route("/here", "here")
        server.route("/small", Reply(200, fields, small(coding)))
        server.route("/busy", busy(Reply(503, fields, bomb(coding))))
        yield coding, server.url


@pytest.mark.parametrize(("package", "loop"), [("zlib", "asyncio"), ("zlib_ng.zlib_ng", "uvloop")])
def test_a_bomb_of_512_mib_costs_little_memory(bombed: tuple[str, str], package: str, loop: str) -> None:
    coding, url = bombed
    if package != "zlib":
        pytest.importorskip("zlib_ng")
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = [sys.executable, "-W", "error", "-c", CLIENT, url, package, loop]
    done = subprocess.run(options, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = [line.split(": ") for line in done.stdout.splitlines()]
    assert {way: said for way, said, _ in told} == TOLD
    most = 16 * MIB + WINDOWS.get(coding, 0)
    assert {way: grown for way, _, grown in told if int(grown) >= most} == {}
